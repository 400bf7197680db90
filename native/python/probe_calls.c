// What the machine can do at most, measured on a model's own threads and memory.
#include "objects.h"

#include "../memory.h"
#include "../probe.h"

#include <string.h>

PyDoc_STRVAR(probe_read_doc, "probe_read(model, most=all, /) -> tuple[int, float]\n\n"
                             "Reads the packed weights once, front to back, `most` bytes of them, on the threads that\n"
                             "generate: bytes and seconds.");

static PyObject *probe_read(PyObject *self, PyObject *args) {
    const struct q4_module_state *module = PyModule_GetState(self);
    PyObject *object;
    Py_ssize_t most = PY_SSIZE_T_MAX;
    if (!PyArg_ParseTuple(args, "O!|n", module->model_type, &object, &most) || !q4_may_evaluate())
        return NULL;
    if (most < 64)
        return q4_fail("at least 64 bytes must be read"), NULL;
    const struct q4_model *m = &((ModelObject *)object)->model;
    size_t bytes = q4_min_size(m->arena_bytes, (size_t)most) / 64 * 64;
    double seconds;
    Py_BEGIN_ALLOW_THREADS;
    q4_open(m->arena, m->arena_bytes); // what lies between the weights is read too
    seconds = q4_probe_read(m->team, m->few_threads, m->arena, bytes);
    Py_END_ALLOW_THREADS;
    return Py_BuildValue("(nd)", (Py_ssize_t)bytes, seconds);
}

PyDoc_STRVAR(probe_memory_doc,
             "probe_memory(bytes, n_threads, looks, /) -> float\n\n"
             "Reads memory of so many bytes, front to back, on threads of its own, `looks` times: bytes a second of\n"
             "the fastest.");

// The fastest of some reads of memory that was written before; 0 where there are no such threads, -1 no such memory.
static double read_memory(size_t bytes, int n_threads, int looks) {
    void *data = q4_alloc(bytes, Q4_PAGES_HUGE);
    if (data == NULL)
        return -1;
    memset(data, 1, bytes); // pages that nobody wrote are one and the same
    q4_team *team = q4_team_new(n_threads, n_threads, NULL);
    double best = 0;
    for (int i = 0; team && i < looks; i++) {
        double seconds = q4_probe_read(team, n_threads, data, bytes);
        best = i == 0 || seconds < best ? seconds : best;
    }
    q4_team_free(team);
    q4_free(data, bytes);
    return best;
}

static PyObject *probe_memory(PyObject *self, PyObject *args) {
    (void)self;
    Py_ssize_t bytes;
    int n_threads, looks;
    if (!PyArg_ParseTuple(args, "nii", &bytes, &n_threads, &looks))
        return NULL;
    if (bytes < 64 || n_threads < 1 || n_threads > Q4_MAX_THREADS || looks < 1)
        return q4_fail("at least 64 bytes, 1 to 256 threads and one look are needed"), NULL;
    double seconds;
    Py_BEGIN_ALLOW_THREADS;
    seconds = read_memory((size_t)bytes / 64 * 64, n_threads, looks);
    Py_END_ALLOW_THREADS;
    if (seconds < 0)
        return PyErr_NoMemory();
    if (seconds == 0)
        return q4_fail("the threads cannot be started"), NULL;
    return PyFloat_FromDouble((double)(bytes / 64 * 64) / seconds);
}

PyDoc_STRVAR(
    probe_int8_doc,
    "probe_int8(model, macs, /) -> tuple[str, int, float] | None\n\n"
    "Multiplies and accumulates int8 in registers, at least `macs` times on each of the threads that\n"
    "read prompts: the instruction, how many there were on all threads together, seconds. None where the CPU features\n"
    "that the model uses have no such loop.");

static PyObject *probe_int8(PyObject *self, PyObject *args) {
    const struct q4_module_state *module = PyModule_GetState(self);
    PyObject *object;
    Py_ssize_t macs;
    if (!PyArg_ParseTuple(args, "O!n", module->model_type, &object, &macs) || !q4_may_evaluate())
        return NULL;
    const struct q4_model *m = &((ModelObject *)object)->model;
    const struct q4_int8_peak *peak = q4_int8_peak_for(m->features);
    if (macs < 1 || macs > (Py_ssize_t)1 << 40)
        return q4_fail("the number of products must be 1 to 2^40"), NULL;
    if (peak == NULL)
        Py_RETURN_NONE;
    size_t iterations = ((size_t)macs + peak->macs - 1) / peak->macs;
    double seconds;
    Py_BEGIN_ALLOW_THREADS;
    seconds = q4_probe_int8(m->team, m->many_threads, peak, iterations);
    Py_END_ALLOW_THREADS;
    return Py_BuildValue("(snd)", peak->name, (Py_ssize_t)(iterations * peak->macs * (size_t)m->many_threads), seconds);
}

PyMethodDef q4_probe_methods[] = {
    {"probe_read", probe_read, METH_VARARGS, probe_read_doc},
    {"probe_memory", probe_memory, METH_VARARGS, probe_memory_doc},
    {"probe_int8", probe_int8, METH_VARARGS, probe_int8_doc},
    {NULL, NULL, 0, NULL},
};
