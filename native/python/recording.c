// Recording of a session's calls, for Python: stamps, and counters.
#include "objects.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// A group as Python gives it: [(type, config, exclude_kernel), …].
static bool parse_group(PyObject *list, struct q4_pmu_group *group) {
    if (!PyList_Check(list) || PyList_Size(list) < 1 || PyList_Size(list) > Q4_PMU_MAX_EVENTS)
        return q4_fail("a group must be a list of 1 to 16 events");
    group->n_events = (size_t)PyList_Size(list);
    for (size_t i = 0; i < group->n_events; i++) {
        unsigned int type;
        unsigned long long config;
        int exclude_kernel;
        if (!PyArg_ParseTuple(PyList_GetItem(list, (Py_ssize_t)i), "IKp", &type, &config, &exclude_kernel))
            return false;
        group->events[i] = (struct q4_pmu_event){.type = type, .config = config, .exclude_kernel = exclude_kernel != 0};
    }
    return true;
}

static PyObject *os_error(int error) {
    errno = error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

// NULL without an exception: no groups.
static struct q4_pmu *open_groups(SessionObject *self, PyObject *list) {
    if (!PyList_Check(list) || PyList_Size(list) > Q4_PMU_MAX_GROUPS)
        return q4_fail("groups must be a list of at most 32"), NULL;
    size_t n = (size_t)PyList_Size(list);
    if (n == 0)
        return NULL;
    struct q4_pmu_group *groups = calloc(n, sizeof *groups);
    if (groups == NULL)
        return (void)PyErr_NoMemory(), NULL;
    struct q4_pmu *pmu = NULL;
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++)
        ok = parse_group(PyList_GetItem(list, (Py_ssize_t)i), &groups[i]);
    if (ok) {
        int error;
        pmu = q4_pmu_open(self->session.model->team, groups, n, &error);
        if (pmu == NULL)
            os_error(error);
    }
    free(groups);
    return pmu;
}

const char q4_session_record_doc[] =
    "record(level, groups, /) -> None\n\n"
    "Records the calls to come. level: 0 not at all, 1 the ends of each thread's walk, 2 stamps at every operation "
    "and\n"
    "counters at the ends, 3 both at every operation. groups: events counted together, [[(type, config, "
    "exclude_kernel), …], …] with perf_event_attr's numbers; those of this thread and of "
    "the\n"
    "model's. OSError where the kernel refuses an event on any thread; nothing is recorded then.";

PyObject *q4_session_record(PyObject *object, PyObject *args) {
    SessionObject *self = (SessionObject *)object;
    int level;
    PyObject *groups;
    if (!PyArg_ParseTuple(args, "iO", &level, &groups))
        return NULL;
    if (level < 0 || level > Q4_RECORD_ALL_OPERATIONS)
        return q4_fail("a level of recording is 0 to 3"), NULL;
    if (self->busy)
        return q4_fail("another thread is in a decode call of this session"), NULL;
    struct q4_session *s = &self->session;
    q4_recorder_free(s->recorder);
    s->recorder = NULL;
    if (level > 0) {
        struct q4_pmu *pmu = open_groups(self, groups);
        if (PyErr_Occurred())
            return NULL;
        s->recorder = q4_recorder_new(q4_team_size(s->model->team), s->model->n_ops, (enum q4_record_level)level, pmu);
        if (s->recorder == NULL)
            return PyErr_NoMemory();
    }
    Py_INCREF(Py_None);
    return Py_None;
}

const char q4_session_select_doc[] = "select(groups, /) -> None\n\n"
                                     "Which groups count in the calls to come: bit i for group i.";

static bool usable(SessionObject *self) {
    if (self->busy)
        return q4_fail("another thread is in a decode call of this session");
    return self->session.recorder != NULL || q4_fail("calls are not recorded");
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

const char q4_session_recorded_doc[] =
    "recorded() -> tuple[int, int, bytes, bytes, bytes]\n\n"
    "Of the last call that succeeded: start and end (CLOCK_MONOTONIC_RAW ns), then arrays: stamps, uint64 [threads,\n"
    "marks]; facts, int64 [threads, 5] (thread id, first CPU, last CPU, page faults, context switches); counts, "
    "uint64\n"
    "[threads, marks, words]. Marks: start of the thread's walk, then for each operation the end of its work and the\n"
    "end of the barrier behind it; at level 1 the two ends of the walk.";

// One array of all threads' rows; copy says where a thread's row is and how long.
static PyObject *joined(const struct q4_recorder *r, size_t row_bytes,
                        const void *(*row)(const struct q4_thread_record *)) {
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(row_bytes * (size_t)r->n_threads));
    char *to = bytes ? PyBytes_AsString(bytes) : NULL;
    for (int i = 0; to && row_bytes && i < r->n_threads; i++)
        memcpy(to + (size_t)i * row_bytes, row(&r->threads[i]), row_bytes);
    return bytes;
}

static const void *stamps_of(const struct q4_thread_record *t) { return t->stamps; }
static const void *facts_of(const struct q4_thread_record *t) { return t->facts; }
static const void *counts_of(const struct q4_thread_record *t) { return t->counts; }

PyObject *q4_session_recorded(PyObject *object, PyObject *unused) {
    (void)unused;
    SessionObject *self = (SessionObject *)object;
    if (!usable(self))
        return NULL;
    const struct q4_recorder *r = self->session.recorder;
    PyObject *stamps = joined(r, r->n_marks * sizeof(uint64_t), stamps_of);
    PyObject *facts = joined(r, sizeof r->threads->facts, facts_of);
    PyObject *counts = joined(r, r->n_readings * r->n_words * sizeof(uint64_t), counts_of);
    PyObject *result = NULL;
    if (stamps && facts && counts)
        result = Py_BuildValue("(KKOOO)", (unsigned long long)r->start_ns, (unsigned long long)r->end_ns, stamps, facts,
                               counts);
    Py_XDECREF(stamps);
    Py_XDECREF(facts);
    Py_XDECREF(counts);
    return result;
}

const char q4_session_cost_doc[] =
    "record_cost() -> tuple[float, float]\n\n"
    "Nanoseconds of one look at the clock and of one reading of the selected counters, measured now.";

PyObject *q4_session_cost(PyObject *object, PyObject *unused) {
    (void)unused;
    SessionObject *self = (SessionObject *)object;
    if (!usable(self))
        return NULL;
    double stamp_ns, read_ns;
    q4_recorder_cost(self->session.recorder, &stamp_ns, &read_ns);
    return Py_BuildValue("(dd)", stamp_ns, read_ns);
}

PyDoc_STRVAR(pmu_try_doc, "pmu_try(group, /) -> tuple[int, int]\n\n"
                          "Opens a group of events on this thread and closes it: errno or 0, and the event refused.");

static PyObject *pmu_try(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *list;
    struct q4_pmu_group group;
    if (!PyArg_ParseTuple(args, "O", &list) || !parse_group(list, &group))
        return NULL;
    size_t bad = 0;
    int error = q4_pmu_try(&group, &bad);
    return Py_BuildValue("(in)", error, (Py_ssize_t)bad);
}

PyMethodDef q4_recording_methods[] = {
    {"pmu_try", pmu_try, METH_VARARGS, pmu_try_doc},
    {NULL, NULL, 0, NULL},
};
