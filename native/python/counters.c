// Counters of any threads, for Python.
#include "objects.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_THREADS 4096 // of a program that is counted

// A group as Python gives it: [(type, config, exclude_kernel), …].
static bool parse_group(PyObject *list, struct q4_pmu_group *group) {
    if (!PyList_Check(list) || PyList_Size(list) < 1 || PyList_Size(list) > Q4_PMU_MAX_EVENTS)
        return q4_fail("a group must be a list of 1 to 16 events");
    group->n_events = (size_t)PyList_Size(list);
    for (size_t i = 0; i < group->n_events; i++) {
        unsigned int type;
        unsigned long long config;
        int exclude_kernel;
        PyObject *event = PyList_GetItem(list, (Py_ssize_t)i); // a list may change while Python converts its items
        if (event == NULL || !PyTuple_Check(event))
            return q4_fail("an event must be a tuple of type, config and exclude_kernel");
        Py_INCREF(event);
        bool ok = PyArg_ParseTuple(event, "IKp", &type, &config, &exclude_kernel);
        Py_DECREF(event);
        if (!ok)
            return false;
        group->events[i] = (struct q4_pmu_event){.type = type, .config = config, .exclude_kernel = exclude_kernel != 0};
    }
    return true;
}

bool q4_parse_groups(PyObject *list, struct q4_pmu_group **groups, size_t *n) {
    *groups = NULL;
    if (!PyList_Check(list) || PyList_Size(list) > Q4_PMU_MAX_GROUPS)
        return q4_fail("groups must be a list of at most 32");
    *n = (size_t)PyList_Size(list);
    *groups = calloc(*n ? *n : 1, sizeof **groups);
    if (*groups == NULL)
        return (void)PyErr_NoMemory(), false;
    bool ok = true;
    for (size_t i = 0; ok && i < *n; i++) {
        PyObject *group = PyList_GetItem(list, (Py_ssize_t)i);
        Py_XINCREF(group);
        ok = group && parse_group(group, &(*groups)[i]);
        Py_XDECREF(group);
    }
    if (!ok) {
        free(*groups);
        *groups = NULL;
    }
    return ok;
}

void q4_raise_refusal(const struct q4_pmu_refusal *refusal, const int *tids) {
    char text[200];
    if (tids)
        snprintf(text, sizeof text, "%s (thread %d, event %zu of group %zu)", strerror(refusal->error),
                 tids[refusal->thread], refusal->event, refusal->group);
    else
        snprintf(text, sizeof text, "%s", strerror(refusal->error));
    PyObject *arguments = Py_BuildValue("(is)", refusal->error, text);
    if (arguments)
        PyErr_SetObject(PyExc_OSError, arguments);
    Py_XDECREF(arguments);
}

// ---- counters of any threads

typedef struct {
    PyObject_HEAD struct q4_pmu *pmu; // NULL: closed
    size_t n_threads;
} CountersObject;

// Kernel's thread numbers from a list of Python's.
static bool parse_threads(PyObject *list, int *tids, size_t n) {
    for (size_t i = 0; i < n; i++) {
        PyObject *item = PyList_GetItem(list, (Py_ssize_t)i);
        Py_XINCREF(item);
        long tid = item ? PyLong_AsLong(item) : -1;
        Py_XDECREF(item);
        if (PyErr_Occurred())
            return false;
        if (tid < 0 || tid > 1 << 22) // the most that the kernel gives
            return q4_fail("a thread id is 0 (the calling thread) to 4194304");
        tids[i] = (int)tid;
    }
    return true;
}

static struct q4_pmu *open_counters(PyObject *thread_list, PyObject *group_list, size_t n_threads) {
    struct q4_pmu_group *groups;
    size_t n_groups;
    if (!q4_parse_groups(group_list, &groups, &n_groups))
        return NULL;
    struct q4_pmu *pmu = NULL;
    int *tids = malloc(n_threads * sizeof *tids);
    if (tids == NULL)
        PyErr_NoMemory();
    else if (n_groups == 0)
        q4_fail("there are no groups to count");
    else if (parse_threads(thread_list, tids, n_threads)) {
        struct q4_pmu_refusal refusal;
        pmu = q4_pmu_open(tids, n_threads, groups, n_groups, &refusal);
        if (pmu == NULL)
            q4_raise_refusal(&refusal, tids);
    }
    free(tids);
    free(groups);
    return pmu;
}

static PyObject *counters_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"threads", "groups", NULL};
    PyObject *threads, *groups;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO", names, &threads, &groups))
        return NULL;
    Py_ssize_t n = PyList_Check(threads) ? PyList_Size(threads) : 0;
    if (n < 1 || n > MAX_THREADS)
        return q4_fail("threads must be a list of 1 to 4096 thread ids"), NULL;
    struct q4_pmu *pmu = open_counters(threads, groups, (size_t)n);
    if (pmu == NULL)
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    CountersObject *self = (CountersObject *)allocate(type, 0);
    if (self == NULL) {
        q4_pmu_close(pmu);
        return NULL;
    }
    q4_pmu_select(pmu, UINT32_MAX);
    self->pmu = pmu;
    self->n_threads = (size_t)n;
    return (PyObject *)self;
}

static void counters_dealloc(PyObject *object) {
    q4_pmu_close(((CountersObject *)object)->pmu);
    q4_free_object(object);
}

static bool is_open(const CountersObject *self) { return self->pmu != NULL || q4_fail("these counters are closed"); }

static PyObject *counters_select(PyObject *object, PyObject *args) {
    CountersObject *self = (CountersObject *)object;
    unsigned int groups;
    if (!PyArg_ParseTuple(args, "I", &groups) || !is_open(self))
        return NULL;
    q4_pmu_select(self->pmu, groups);
    Py_RETURN_NONE;
}

static PyObject *on_all_threads(PyObject *object, void (*act)(struct q4_pmu *, size_t)) {
    CountersObject *self = (CountersObject *)object;
    if (!is_open(self))
        return NULL;
    for (size_t i = 0; i < self->n_threads; i++)
        act(self->pmu, i);
    Py_RETURN_NONE;
}

static PyObject *counters_start(PyObject *object, PyObject *unused) {
    (void)unused;
    return on_all_threads(object, q4_pmu_start);
}

static PyObject *counters_stop(PyObject *object, PyObject *unused) {
    (void)unused;
    return on_all_threads(object, q4_pmu_stop);
}

static PyObject *counters_read(PyObject *object, PyObject *unused) {
    (void)unused;
    CountersObject *self = (CountersObject *)object;
    if (!is_open(self))
        return NULL;
    size_t n_words = q4_pmu_words(self->pmu);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(self->n_threads * n_words * sizeof(uint64_t)));
    for (size_t i = 0; bytes && n_words && i < self->n_threads; i++)
        q4_pmu_read(self->pmu, i, (uint64_t *)(void *)PyBytes_AsString(bytes) + i * n_words);
    return bytes;
}

static PyObject *counters_close(PyObject *object, PyObject *unused) {
    (void)unused;
    CountersObject *self = (CountersObject *)object;
    q4_pmu_close(self->pmu);
    self->pmu = NULL;
    Py_RETURN_NONE;
}

static PyMethodDef counters_methods[] = {
    {"select", counters_select, METH_VARARGS,
     "select(groups, /) -> None\n\nWhich groups count from now on: bit i for group i; at first all."},
    {"start", counters_start, METH_NOARGS, "start() -> None\n\nThe selected groups count."},
    {"stop", counters_stop, METH_NOARGS,
     "stop() -> None\n\nThe selected groups no longer count; they keep their counts."},
    {"read", counters_read, METH_NOARGS,
     "read() -> bytes\n\nuint64 [threads, words]: for each selected group the number of events, nanoseconds enabled "
     "and\n"
     "running, then the counts. All 0 for a group that cannot be read."},
    {"close", counters_close, METH_NOARGS, "close() -> None\n\nLets go of the counters; closing twice is fine."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot counters_slots[] = {
    {Py_tp_doc,
     "Counters(threads, groups): events of threads, which may be another program's. threads: the kernel's\n"
     "numbers, 0 for the calling thread. groups: events counted together, [[(type, config, exclude_kernel),\n"
     "…], …]. OSError names the thread and the event that the kernel refuses; nothing is counted then."},
    {Py_tp_new, (void *)counters_new},
    {Py_tp_dealloc, (void *)counters_dealloc},
    {Py_tp_methods, counters_methods},
    {0, NULL},
};

static PyType_Spec counters_spec = {
    .name = "q4engine._native.Counters",
    .basicsize = sizeof(CountersObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = counters_slots,
};

int q4_add_counters_type(PyObject *module) {
    PyObject *type = PyType_FromModuleAndSpec(module, &counters_spec, NULL);
    int status = type ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
    Py_XDECREF(type);
    return status;
}

PyDoc_STRVAR(pmu_try_doc, "pmu_try(group, thread=0, /) -> tuple[int, int]\n\n"
                          "Opens a group of events on a thread (0: this one) and closes it: errno or 0, and the event\n"
                          "that was refused.");

static PyObject *pmu_try(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *list;
    struct q4_pmu_group group;
    int tid = 0;
    if (!PyArg_ParseTuple(args, "O|i", &list, &tid) || !parse_group(list, &group))
        return NULL;
    if (tid < 0) // would be every thread of the machine, or of none
        return q4_fail("a thread id is 0 (the calling thread) or more"), NULL;
    size_t bad = 0;
    int error = q4_pmu_try(&group, tid, &bad);
    return Py_BuildValue("(in)", error, (Py_ssize_t)bad);
}

PyMethodDef q4_counters_methods[] = {
    {"pmu_try", pmu_try, METH_VARARGS, pmu_try_doc},
    {NULL, NULL, 0, NULL},
};
