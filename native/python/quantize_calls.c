// quantize_rows for Python: checks sizes, releases the GIL, calls the core.
#include "bindings.h"

#include "../q4.h"
#include "../quantize.h"

#include <string.h>

PyDoc_STRVAR(quantize_rows_doc,
             "quantize_rows(x, out, type, rows, columns, method, importance=None, /) -> int\n\n"
             "Quantise float32 rows (a contiguous buffer) to the GGUF type number `type` into the writable buffer\n"
             "`out`. `method` is 'search' or 'reference'; the search weighs errors by `importance`, float32 numbers\n"
             "above 0 and at most 1, one a column. Returns `rows`, or the index of the first row with a value\n"
             "that is not finite or does not fit. ValueError where sizes do not match.\n"
             "Runs without the GIL.");

static bool parse_method(const char *name, enum q4_quantize_method *method) {
    if (strcmp(name, "search") == 0)
        *method = Q4_QUANTIZE_SEARCH;
    else if (strcmp(name, "reference") == 0)
        *method = Q4_QUANTIZE_REFERENCE;
    else
        return false;
    return true;
}

// Whether the buffers are exactly as large as rows x columns of float and of the type.
static bool sizes_match(const Py_buffer *x, const Py_buffer *out, int type, size_t rows, size_t columns) {
    const struct q4_type *t = q4_find_type(q4_types_base, type);
    size_t n, in_size, out_size;
    return columns % t->columns == 0 && q4_mul_size(rows, columns, &n) && q4_mul_size(n, sizeof(float), &in_size) &&
           q4_mul_size(n / t->columns, t->bytes, &out_size) && in_size == (size_t)x->len &&
           out_size == (size_t)out->len && (uintptr_t)x->buf % sizeof(float) == 0;
}

static bool is_importance(const Py_buffer *buffer, size_t columns) {
    const float *importance = buffer->buf;
    if ((size_t)buffer->len / sizeof(float) != columns || (size_t)buffer->len % sizeof(float) ||
        (uintptr_t)importance % sizeof(float))
        return false;
    for (size_t i = 0; i < columns; i++)
        if (!(importance[i] > 0.0f && importance[i] <= 1.0f))
            return false;
    return true;
}

static PyObject *quantize_rows(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer x, out, importance = {0};
    int type;
    Py_ssize_t rows, columns;
    const char *method_name;
    if (!PyArg_ParseTuple(args, "y*w*inns|z*", &x, &out, &type, &rows, &columns, &method_name, &importance))
        return NULL;
    enum q4_quantize_method method = Q4_QUANTIZE_SEARCH;
    PyObject *result = NULL;
    if (!parse_method(method_name, &method)) {
        PyErr_Format(PyExc_ValueError, "method '%s' is unknown, expected 'search' or 'reference'", method_name);
    } else if (!q4_quantize_supports(type)) {
        PyErr_Format(PyExc_ValueError, "rows cannot be quantised to type %d", type);
    } else if (rows < 0 || columns <= 0 || !sizes_match(&x, &out, type, (size_t)rows, (size_t)columns)) {
        PyErr_Format(PyExc_ValueError, "buffers of %zd and %zd bytes do not hold %zd rows of %zd columns of type %d",
                     x.len, out.len, rows, columns, type);
    } else if (importance.buf && !is_importance(&importance, (size_t)columns)) {
        PyErr_Format(PyExc_ValueError, "the importance, %zd bytes, is not %zd floats above 0 and at most 1",
                     importance.len, columns);
    } else {
        size_t done;
        Py_BEGIN_ALLOW_THREADS done =
            q4_quantize_rows(type, method, x.buf, importance.buf, (size_t)rows, (size_t)columns, out.buf);
        Py_END_ALLOW_THREADS result = PyLong_FromSize_t(done);
    }
    PyBuffer_Release(&x);
    PyBuffer_Release(&out);
    if (importance.obj)
        PyBuffer_Release(&importance);
    return result;
}

PyMethodDef q4_quantize_methods[] = {
    {"quantize_rows", quantize_rows, METH_VARARGS, quantize_rows_doc},
    {NULL, NULL, 0, NULL},
};
