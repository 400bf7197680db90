#include "bindings.h"

#include "../sampling.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

// A contiguous buffer of 4-byte elements; its length in *n. False with an exception.
static int get_buffer(PyObject *object, Py_buffer *view, const char *name, Py_ssize_t *n) {
    if (PyObject_GetBuffer(object, view, PyBUF_SIMPLE) < 0)
        return 0;
    *n = view->len / 4;
    if (view->len % 4 == 0 && (view->len == 0 || (uintptr_t)view->buf % 4 == 0)) // an empty array lies anywhere
        return 1;
    PyErr_Format(PyExc_ValueError, "%s has %zd bytes, expected 4 for each element, aligned", name, view->len);
    PyBuffer_Release(view);
    return 0;
}

static int valid_settings(const struct q4_sampling *s) {
    if (s->temperature >= 0.0f && s->top_k >= 0 && s->top_p >= 0.0f && s->min_p >= 0.0f && s->repeat_penalty > 0.0f &&
        fabsf(s->frequency) <= FLT_MAX && fabsf(s->presence) <= FLT_MAX)
        return 1;
    PyErr_SetString(PyExc_ValueError, "a sampling setting is out of range");
    return 0;
}

static int32_t checked_sample(const Py_buffer *logits, Py_ssize_t n, const Py_buffer *recent, Py_ssize_t n_recent,
                              const struct q4_sampling *settings, uint64_t *state) {
    if (n < 1 || n >= 1 << 21) {
        PyErr_Format(PyExc_ValueError, "there are %zd logits, expected 1 to 2097151", n);
        return -1;
    }
    const int32_t *ids = recent->buf;
    for (Py_ssize_t i = 0; i < n_recent; i++) {
        if (ids[i] < 0 || ids[i] >= n) {
            PyErr_Format(PyExc_ValueError, "recent token %d is not among the %zd logits", (int)ids[i], n);
            return -1;
        }
    }
    struct q4_candidate *scratch = malloc((size_t)n * (sizeof *scratch + sizeof(float)));
    if (scratch == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    int32_t bad = 0;
    int32_t token = q4_sample(logits->buf, (int32_t)n, ids, (size_t)n_recent, settings, state, scratch, &bad);
    free(scratch);
    if (token < 0)
        PyErr_Format(PyExc_ValueError, "the logit of token %d is not finite", (int)bad);
    return token;
}

PyDoc_STRVAR(sample_doc,
             "sample(logits, recent, temperature, top_k, top_p, min_p, repeat_penalty, frequency, presence, state, /)\n"
             "-> (token, state)\n\n"
             "Choose a token from float32 logits; `recent` holds the int32 ids to penalise, `state` is the random\n"
             "generator's. ValueError where a logit is not finite or an argument is out of range.");

static PyObject *sample(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *logits_object, *recent_object;
    struct q4_sampling settings;
    int top_k;
    unsigned long long state_argument;
    if (!PyArg_ParseTuple(args, "OOfifffffK", &logits_object, &recent_object, &settings.temperature, &top_k,
                          &settings.top_p, &settings.min_p, &settings.repeat_penalty, &settings.frequency,
                          &settings.presence, &state_argument))
        return NULL;
    settings.top_k = top_k;
    if (!valid_settings(&settings))
        return NULL;
    uint64_t state = state_argument;
    int32_t token = -1;
    Py_buffer logits, recent;
    Py_ssize_t n, n_recent;
    if (!get_buffer(logits_object, &logits, "logits", &n))
        return NULL;
    if (get_buffer(recent_object, &recent, "recent", &n_recent)) {
        token = checked_sample(&logits, n, &recent, n_recent, &settings, &state);
        PyBuffer_Release(&recent);
    }
    PyBuffer_Release(&logits);
    return token < 0 ? NULL : Py_BuildValue("(iK)", (int)token, (unsigned long long)state);
}

PyDoc_STRVAR(random_state_doc,
             "random_state(seed, /) -> int\n\nThe random generator's state for a seed (both 64 bits).");

static PyObject *random_state(PyObject *self, PyObject *args) {
    (void)self;
    unsigned long long seed;
    if (!PyArg_ParseTuple(args, "K", &seed))
        return NULL;
    return PyLong_FromUnsignedLongLong(q4_random_seed(seed));
}

PyMethodDef q4_sampling_methods[] = {
    {"sample", sample, METH_VARARGS, sample_doc},
    {"random_state", random_state, METH_VARARGS, random_state_doc},
    {NULL, NULL, 0, NULL},
};
