// Model for Python. Everything is copied or packed while the model is built, except the embedding, whose buffer (the
// mapped file) is held.
#include "spec.h"

#include "../cpu.h"
#include "../execute/operations.h"
#include "../kv_cache.h"

static bool build_model(ModelObject *self, PyObject *args, PyObject *kwargs) {
    struct q4_python_spec parts = {0};
    char error[Q4_ERROR_SIZE] = "";
    bool ok = q4_python_spec_parse(&parts, args, kwargs);
    if (ok) {
        struct q4_released released;
        parts.spec.interrupt = &released.interrupt;
        q4_release_gil(&released);
        ok = q4_model_build(&self->model, &parts.spec, error);
        q4_take_gil(&released);
        if (!ok)
            q4_fail(error);
    }
    self->held = parts.tables;
    q4_python_spec_clear(&parts);
    return ok;
}

static PyObject *model_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    ModelObject *self = (ModelObject *)allocate(type, 0); // zeroed
    if (self && !build_model(self, args, kwargs))
        Py_CLEAR(self);
    return (PyObject *)self;
}

static void model_dealloc(PyObject *object) {
    ModelObject *self = (ModelObject *)object;
    q4_model_clear(&self->model);
    q4_release_held(self->held);
    q4_free_object(object);
}

PyDoc_STRVAR(
    kernels_doc,
    "kernels() -> list[tuple[str, str, int, int, int, str, str, str]]\n\n"
    "For each packed weight: name, type, rows (of all experts), columns, bytes, layout, GEMV kernel, GEMM kernel.");

static PyObject *model_kernels(PyObject *object, PyObject *unused) {
    (void)unused;
    const struct q4_model *m = &((ModelObject *)object)->model;
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < m->n_weights; i++) {
        const struct q4_weight *w = &m->weights[i];
        PyObject *row = Py_BuildValue("(ssnnnsss)", w->name, w->type->name, (Py_ssize_t)(w->matrices * w->rows),
                                      (Py_ssize_t)w->k, (Py_ssize_t)w->bytes, w->kernels.gemv->layout->name,
                                      w->kernels.gemv->name, w->kernels.gemm->name);
        if (row == NULL || PyList_Append(list, row) < 0)
            Py_CLEAR(list);
        Py_XDECREF(row);
    }
    return list;
}

PyDoc_STRVAR(variant_doc, "variant() -> str\n\nName of the operations' variant: base, avx2, avx512, …");

static PyObject *model_variant(PyObject *object, PyObject *unused) {
    (void)unused;
    return PyUnicode_FromString(((ModelObject *)object)->model.ops->name);
}

PyDoc_STRVAR(few_tokens_doc, "few_tokens() -> int\n\n"
                             "Tokens up to which a call's products are the GEMV kernels'; the GEMM kernels do more.");

static PyObject *model_few_tokens(PyObject *object, PyObject *unused) {
    (void)unused;
    return PyLong_FromSize_t(((ModelObject *)object)->model.few_tokens);
}

PyDoc_STRVAR(batch_tokens_doc, "batch_tokens() -> int\n\nTokens from which a call has the threads of prompts.");

static PyObject *model_batch_tokens(PyObject *object, PyObject *unused) {
    (void)unused;
    return PyLong_FromSize_t(q4_batch_tokens(&((ModelObject *)object)->model));
}

PyDoc_STRVAR(kv_bytes_doc, "kv_bytes_per_position() -> int\n\n"
                           "Bytes of keys and values of one position in all layers, as sessions keep them.");

static PyObject *model_kv_bytes(PyObject *object, PyObject *unused) {
    (void)unused;
    return PyLong_FromSize_t(q4_kv_position_bytes(&((ModelObject *)object)->model));
}

static PyMethodDef model_methods[] = {
    {"kv_bytes_per_position", model_kv_bytes, METH_NOARGS, kv_bytes_doc},
    {"few_tokens", model_few_tokens, METH_NOARGS, few_tokens_doc},
    {"batch_tokens", model_batch_tokens, METH_NOARGS, batch_tokens_doc},
    {"kernels", model_kernels, METH_NOARGS, kernels_doc},
    {"variant", model_variant, METH_NOARGS, variant_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot model_slots[] = {
    {Py_tp_doc, "A model, packed and planned. Built by q4engine.engine; see native/build.h."},
    {Py_tp_new, (void *)model_new},
    {Py_tp_dealloc, (void *)model_dealloc},
    {Py_tp_methods, model_methods},
    {0, NULL},
};

PyType_Spec q4_model_type_spec = {
    .name = "q4engine._native.Model",
    .basicsize = sizeof(ModelObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = model_slots,
};

// ---- what operations there are ------------------------------------------------------------------

PyDoc_STRVAR(operations_doc,
             "operations() -> dict[str, tuple[int, dict[str, str]]]\n\n"
             "Every kind of operation that a plan may hold: its number, and its fields with their types.");

static const char *const field_types[Q4_FIELD_TYPES] = {
    [Q4_FIELD_BUFFER] = "buffer",
    [Q4_FIELD_WEIGHT] = "weight",
    [Q4_FIELD_VECTOR] = "vector",
    [Q4_FIELD_ANY_VECTOR] = "any vector",
    [Q4_FIELD_TABLE] = "table",
    [Q4_FIELD_ROPE_TABLE] = "RoPE table",
    [Q4_FIELD_ROPE_STYLE] = "RoPE style",
    [Q4_FIELD_ACTIVATION] = "activation",
    [Q4_FIELD_SIZE] = "size",
    [Q4_FIELD_FLOAT] = "float",
    [Q4_FIELD_BOOL] = "bool",
};

static PyObject *fields_of(const struct q4_op_class *class) {
    PyObject *fields = PyDict_New();
    for (const struct q4_field *f = class->fields; fields && f->name; f++) {
        PyObject *type = PyUnicode_FromString(field_types[f->type]);
        if (type == NULL || PyDict_SetItemString(fields, f->name, type) < 0)
            Py_CLEAR(fields);
        Py_XDECREF(type);
    }
    return fields;
}

static PyObject *operations(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    PyObject *all = PyDict_New();
    for (int kind = 0; all && kind < Q4_OP_PLAIN_KINDS; kind++) {
        PyObject *fields = fields_of(q4_operations[kind]);
        PyObject *row = fields ? Py_BuildValue("(iO)", kind, fields) : NULL;
        if (row == NULL || PyDict_SetItemString(all, q4_operations[kind]->name, row) < 0)
            Py_CLEAR(all);
        Py_XDECREF(row);
        Py_XDECREF(fields);
    }
    return all;
}

PyMethodDef q4_model_methods[] = {
    {"operations", operations, METH_NOARGS, operations_doc},
    {NULL, NULL, 0, NULL},
};
