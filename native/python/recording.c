// Recording of a session's calls, for Python: stamps, and counters.
#include "objects.h"

#include <stdlib.h>
#include <string.h>

// Runs no Python code. False with an exception; no recorder is left then.
static bool start_recording(struct q4_session *s, int level, const struct q4_pmu_group *groups, size_t n) {
    q4_recorder_free(s->recorder);
    s->recorder = NULL;
    if (level == 0)
        return true;
    struct q4_pmu_refusal refusal;
    struct q4_pmu *pmu = n ? q4_recorder_counters(s->model->team, groups, n, &refusal) : NULL;
    if (n && pmu == NULL)
        return q4_raise_refusal(&refusal, NULL), false;
    const struct q4_model *m = s->model;
    struct q4_recorded of = {q4_team_size(m->team), m->n_ops, m->n_tallies, s->tallies};
    s->recorder = q4_recorder_new(of, (enum q4_record_level)level, pmu);
    if (s->recorder == NULL)
        PyErr_NoMemory();
    return s->recorder != NULL;
}

const char q4_session_record_doc[] =
    "record(level, groups, /) -> None\n\n"
    "Records the calls to come. level, of constants()['levels']: nothing, the two ends of each thread's walk,\n"
    "stamps at every operation and counters at the two ends, or both at every operation. groups: events counted\n"
    "together, on this thread and the model's: [[(type, config, exclude_kernel), …], …], perf_event_attr's\n"
    "numbers. OSError where the kernel refuses an event on any thread; nothing is recorded then.";

PyObject *q4_session_record(PyObject *object, PyObject *args) {
    SessionObject *self = (SessionObject *)object;
    int level;
    PyObject *list;
    struct q4_pmu_group *groups;
    size_t n;
    if (!PyArg_ParseTuple(args, "iO", &level, &list))
        return NULL;
    if (level < 0 || level > Q4_RECORD_ALL_OPERATIONS)
        return q4_fail("a level of recording is 0 to 3"), NULL;
    if (!q4_parse_groups(list, &groups, &n))
        return NULL;
    // looked at last: converting the numbers may have run Python code, and other threads
    bool ok = q4_session_idle(self) && start_recording(&self->session, level, groups, n);
    free(groups);
    if (!ok)
        return NULL;
    Py_RETURN_NONE;
}

const char q4_session_select_doc[] = "select(groups, /) -> None\n\n"
                                     "Which groups count in the calls to come: bit i for group i.";

static bool usable(SessionObject *self) {
    return q4_session_idle(self) && (self->session.recorder != NULL || q4_fail("calls are not recorded"));
}

PyObject *q4_session_select(PyObject *object, PyObject *args) {
    SessionObject *self = (SessionObject *)object;
    unsigned int groups;
    if (!PyArg_ParseTuple(args, "I", &groups) || !usable(self))
        return NULL;
    if (self->session.recorder->pmu)
        q4_pmu_select(self->session.recorder->pmu, groups);
    Py_INCREF(Py_None);
    return Py_None;
}

const char q4_session_remind_doc[] =
    "remind(nanoseconds, bytes, /) -> None\n\n"
    "decode is to return True, for recorded to be called, each time that the nanoseconds have passed (0: never), and\n"
    "while more than these bytes of records wait.";

PyObject *q4_session_remind(PyObject *object, PyObject *args) {
    SessionObject *self = (SessionObject *)object;
    unsigned long long ns;
    Py_ssize_t bytes;
    if (!PyArg_ParseTuple(args, "Kn", &ns, &bytes) || !usable(self))
        return NULL;
    if (bytes < 0)
        return q4_fail("bytes must not be negative"), NULL;
    self->session.recorder->remind_ns = ns;
    self->session.recorder->remind_bytes = (size_t)bytes;
    Py_INCREF(Py_None);
    return Py_None;
}

const char q4_session_recorded_doc[] =
    "recorded() -> list[dict[str, int | bool | bytes]]\n\n"
    "Takes the log: of every call that succeeded since it was last taken, the oldest first, n_past, n_eval, phase,\n"
    "all_logits, start_ns and end_ns (CLOCK_MONOTONIC_RAW), own_ns that recording took but for the marks, then "
    "arrays, of as many threads as walked the call:\n"
    "stamps, uint64 [threads, marks]; facts, int64 [threads, thread_facts]; counts, uint64 [threads, marks, words];\n"
    "tallies, uint64 [operations with experts]: to how many experts the call's tokens went, none at level 'calls'.\n"
    "Marks: the start of the thread's walk, then for each operation the end of its work and the end of the barrier\n"
    "after it, equal to the mark before where there was none; at level 'calls' the two ends of the walk.";

static PyObject *words(size_t n) { return PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(n * sizeof(uint64_t))); }

static PyObject *record_dict(const struct q4_recorder *r, const struct q4_record *record) {
    size_t n_threads = (size_t)record->n_threads;
    PyObject *stamps = words(n_threads * r->n_marks);
    PyObject *facts = words(n_threads * Q4_THREAD_FACTS);
    PyObject *counts = words(n_threads * r->n_readings * record->n_words);
    PyObject *tallies = words(r->n_tallies), *result = NULL;
    if (stamps && facts && counts && tallies) {
        memcpy(PyBytes_AsString(tallies), q4_record_tallies(record), r->n_tallies * sizeof(uint64_t));
        q4_record_expand(r, record, (int64_t *)(void *)PyBytes_AsString(facts),
                         (uint64_t *)(void *)PyBytes_AsString(stamps), (uint64_t *)(void *)PyBytes_AsString(counts));
        result = Py_BuildValue("{s:n,s:n,s:i,s:O,s:K,s:K,s:K,s:O,s:O,s:O,s:O}", "n_past", (Py_ssize_t)record->n_past,
                               "n_eval", (Py_ssize_t)record->n_tokens, "phase", record->phase, "all_logits",
                               record->all_logits ? Py_True : Py_False, "start_ns",
                               (unsigned long long)record->start_ns, "end_ns", (unsigned long long)record->end_ns,
                               "own_ns", (unsigned long long)q4_record_own_ns(record), "stamps", stamps, "facts", facts,
                               "counts", counts, "tallies", tallies);
    }
    Py_XDECREF(stamps);
    Py_XDECREF(facts);
    Py_XDECREF(counts);
    Py_XDECREF(tallies);
    return result;
}

PyObject *q4_session_recorded(PyObject *object, PyObject *unused) {
    (void)unused;
    SessionObject *self = (SessionObject *)object;
    if (!usable(self))
        return NULL;
    struct q4_recorder *r = self->session.recorder;
    PyObject *list = PyList_New(0);
    for (const struct q4_record *record = r->first; list && record; record = record->next) {
        PyObject *row = record_dict(r, record);
        if (row == NULL || PyList_Append(list, row) < 0) {
            Py_DECREF(list);
            list = NULL;
        }
        Py_XDECREF(row);
    }
    if (list)
        q4_records_clear(r);
    return list;
}

const char q4_session_cost_doc[] =
    "record_cost() -> tuple[float, float]\n\n"
    "Nanoseconds that a mark and a reading of the selected counters take a thread, measured now.";

PyObject *q4_session_cost(PyObject *object, PyObject *unused) {
    (void)unused;
    SessionObject *self = (SessionObject *)object;
    if (!usable(self))
        return NULL;
    double mark_ns, reading_ns;
    q4_recorder_cost(self->session.recorder, &mark_ns, &reading_ns);
    return Py_BuildValue("(dd)", mark_ns, reading_ns);
}
