// Reading GGUF files: the one loop that is too long for Python, and which tensor types the core computes with.
#include "bindings.h"

#include "../types/types.h"

#include <stdint.h>
#include <string.h>

PyDoc_STRVAR(skip_strings_doc,
             "skip_strings(data, position, count, /) -> int\n\n"
             "Where `count` strings that start at byte `position` end: each is a little-endian uint64 length and\n"
             "that many bytes. -1 where one runs past the end of the data.");

static Py_ssize_t skip(const uint8_t *data, size_t end, size_t at, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint64_t length;
        if (end - at < sizeof length)
            return -1;
        memcpy(&length, data + at, sizeof length);
        at += sizeof length;
        if (length > end - at)
            return -1;
        at += (size_t)length;
    }
    return (Py_ssize_t)at;
}

static PyObject *skip_strings(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer data;
    Py_ssize_t position, count;
    if (!PyArg_ParseTuple(args, "y*nn", &data, &position, &count))
        return NULL;
    Py_ssize_t end = -1;
    if (position >= 0 && position <= data.len && count >= 0)
        end = skip(data.buf, (size_t)data.len, (size_t)position, (size_t)count);
    PyBuffer_Release(&data);
    return PyLong_FromSsize_t(end);
}

PyDoc_STRVAR(tensor_types_doc,
             "tensor_types() -> list[tuple[str, int, int, int, bool]]\n\n"
             "The tensor types that the core computes with: GGUF's name and number, weights and bytes of a block,\n"
             "whether quantize_rows writes it.");

static PyObject *tensor_types(PyObject *self, PyObject *unused) {
    (void)self;
    (void)unused;
    PyObject *list = PyList_New(0);
    for (const struct q4_type *const *types = q4_types_base; list && *types; types++) {
        const struct q4_type *t = *types;
        PyObject *row = Py_BuildValue("(sinnN)", t->name, t->number, (Py_ssize_t)t->columns, (Py_ssize_t)t->bytes,
                                      PyBool_FromLong(t->search != NULL));
        if (row == NULL || PyList_Append(list, row) < 0)
            Py_CLEAR(list);
        Py_XDECREF(row);
    }
    return list;
}

PyMethodDef q4_gguf_methods[] = {
    {"tensor_types", tensor_types, METH_NOARGS, tensor_types_doc},
    {"skip_strings", skip_strings, METH_VARARGS, skip_strings_doc},
    {NULL, NULL, 0, NULL},
};
