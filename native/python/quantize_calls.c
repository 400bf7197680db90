// quantize_rows for Python: checks sizes, releases the GIL, calls the core.
#include "bindings.h"

#include "../q4.h"
#include "../quantize.h"

#include <string.h>

PyDoc_STRVAR(quantize_rows_doc,
             "quantize_rows(x, out, type, rows, columns, method, /) -> int\n\n"
             "Quantise float32 rows (a contiguous buffer) to the GGUF type number `type` into the writable buffer\n"
             "`out`. `method` is 'search' or 'reference'. Returns `rows`, or the index of the first row with a value\n"
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

static PyObject *quantize_rows(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer x, out;
    int type;
    Py_ssize_t rows, columns;
    const char *method_name;
    if (!PyArg_ParseTuple(args, "y*w*inns", &x, &out, &type, &rows, &columns, &method_name))
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
    } else {
        size_t done;
        Py_BEGIN_ALLOW_THREADS done = q4_quantize_rows(type, method, x.buf, (size_t)rows, (size_t)columns, out.buf);
        Py_END_ALLOW_THREADS result = PyLong_FromSize_t(done);
    }
    PyBuffer_Release(&x);
    PyBuffer_Release(&out);
    return result;
}

PyMethodDef q4_quantize_methods[] = {
    {"quantize_rows", quantize_rows, METH_VARARGS, quantize_rows_doc},
    {NULL, NULL, 0, NULL},
};
