// Model and Session for Python. Everything is copied or packed while the model is built, except the embedding, whose
// buffer (the mapped file) is held.
#include "bindings.h"

#include "../cpu.h"
#include "../rope_table.h"
#include "objects.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

bool q4_fail(const char *message) {
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, message);
    return false;
}

// Parses a tuple of a list as PyArg_ParseTuple does. Converting a number may run Python code, and that may have changed
// the list since its size was taken.
static bool parse_item(PyObject *list, size_t i, const char *format, ...) {
    PyObject *item = PyList_GetItem(list, (Py_ssize_t)i);
    if (item == NULL || !PyTuple_Check(item))
        return q4_fail("a list holds something that is no tuple");
    va_list fields;
    va_start(fields, format);
    Py_INCREF(item);
    bool ok = PyArg_VaParse(item, format, fields);
    Py_DECREF(item);
    va_end(fields);
    return ok;
}

// Allocates n elements for a list given by Python, which may be empty.
static void *new_array(size_t n, size_t size) {
    void *p = calloc(n ? n : 1, size);
    if (p == NULL)
        PyErr_NoMemory();
    return p;
}

static void copy_name(char *to, const char *from) { PyOS_snprintf(to, Q4_NAME_SIZE, "%s", from); }

// ---- building a model ---------------------------------------------------------------------------

static bool parse_params(struct q4_params *p, PyObject *dict) {
    static const char *const keys[] = {"n_layers", "n_heads", "n_kv_heads", "head_dim", "rope_dim"};
    size_t *fields[] = {&p->n_layers, &p->n_heads, &p->n_kv_heads, &p->head_dim, &p->rope_dim};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        PyObject *value = PyDict_GetItemString(dict, keys[i]);
        if (value == NULL)
            return q4_fail("params lack a key");
        *fields[i] = PyLong_AsSize_t(value);
        if (PyErr_Occurred())
            return false;
    }
    PyObject *neox = PyDict_GetItemString(dict, "rope_neox"), *base = PyDict_GetItemString(dict, "rope_base");
    PyObject *eps = PyDict_GetItemString(dict, "eps");
    if (!neox || !base || !eps)
        return q4_fail("params lack a key");
    p->rope_style = PyObject_IsTrue(neox) ? Q4_ROPE_NEOX : Q4_ROPE_NORM;
    p->rope_base = PyFloat_AsDouble(base);
    p->eps = (float)PyFloat_AsDouble(eps);
    return !PyErr_Occurred();
}

static bool parse_team(struct q4_model *m, int n_threads, PyObject *cpus) {
    if (n_threads < 1 || n_threads > Q4_MAX_THREADS)
        return q4_fail("the number of threads must be 1 to 256");
    int list[Q4_MAX_THREADS];
    bool pinned = cpus != Py_None;
    if (pinned && (!PyList_Check(cpus) || PyList_Size(cpus) == 0))
        return q4_fail("cpus must be a list of CPU numbers");
    for (int i = 0; pinned && i < n_threads; i++) {
        list[i] = (int)PyLong_AsLong(PyList_GetItem(cpus, i % PyList_Size(cpus)));
        if (PyErr_Occurred())
            return false;
        if (list[i] < 0 || list[i] > 1023)
            return q4_fail("CPU numbers must be 0 to 1023");
    }
    m->team = q4_team_new(n_threads, pinned ? list : NULL);
    return m->team != NULL || q4_fail("threads could not be started");
}

// The type in the model's variant.
static bool find_type(const struct q4_model *m, int number, const char *what, const struct q4_type **type) {
    *type = q4_find_type(m->ops->types, number);
    if (*type == NULL)
        PyErr_Format(PyExc_ValueError, "%s has the type number %d, which the engine does not compute with", what,
                     number);
    return *type != NULL;
}

static bool parse_tables(ModelObject *self, PyObject *tables) {
    struct q4_model *m = &self->model;
    size_t n = (size_t)PyList_Size(tables);
    m->tables = new_array(n, sizeof *m->tables);
    self->held = new_array(n, sizeof *self->held);
    if (!m->tables || !self->held)
        return false;
    m->n_tables = n;
    for (size_t i = 0; i < n; i++) {
        struct q4_table *t = &m->tables[i];
        int type;
        Py_ssize_t rows, columns;
        if (!parse_item(tables, i, "y*inn", &self->held[i], &type, &rows, &columns))
            return false;
        self->n_held = i + 1;
        size_t size;
        if (!find_type(m, type, "an embedding", &t->type))
            return false;
        if (rows <= 0 || columns <= 0 || (size_t)columns % t->type->columns ||
            !q4_mul_size(q4_row_bytes(t->type, (size_t)columns), (size_t)rows, &size) ||
            size != (size_t)self->held[i].len || (uintptr_t)self->held[i].buf % sizeof(float))
            return q4_fail("an embedding's size or alignment does not match its type and shape");
        t->data = self->held[i].buf;
        t->rows = (size_t)rows;
        t->columns = (size_t)columns;
    }
    return true;
}

static bool parse_vectors(struct q4_model *m, PyObject *vectors) {
    size_t n = (size_t)PyList_Size(vectors);
    m->vectors = new_array(n, sizeof *m->vectors);
    if (!m->vectors)
        return false;
    m->n_vectors = n;
    for (size_t i = 0; i < n; i++) {
        Py_buffer b;
        PyObject *vector = PyList_GetItem(vectors, (Py_ssize_t)i);
        if (vector == NULL || PyObject_GetBuffer(vector, &b, PyBUF_SIMPLE) < 0)
            return false;
        m->vectors[i].n = (size_t)b.len / sizeof(float);
        m->vectors[i].data = new_array(m->vectors[i].n, sizeof(float));
        if (m->vectors[i].data)
            memcpy(m->vectors[i].data, b.buf, m->vectors[i].n * sizeof(float));
        PyBuffer_Release(&b);
        if (!m->vectors[i].data)
            return false;
    }
    return true;
}

static bool parse_buffers(struct q4_model *m, PyObject *widths) {
    size_t n = (size_t)PyList_Size(widths);
    m->buffers = new_array(n, sizeof *m->buffers);
    if (!m->buffers)
        return false;
    m->n_buffers = n;
    for (size_t i = 0; i < n; i++) {
        PyObject *width = PyList_GetItem(widths, (Py_ssize_t)i);
        m->buffers[i].width = width ? PyLong_AsSize_t(width) : 0;
        if (PyErr_Occurred())
            return false;
        if (m->buffers[i].width == 0 || m->buffers[i].width > 2 * Q4_MAX_ROWS)
            return q4_fail("a buffer's width must be 1 to 2^26");
    }
    return true;
}

static bool parse_plan(struct q4_model *m, PyObject *plan) {
    size_t n = (size_t)PyList_Size(plan);
    m->plan = new_array(n, sizeof *m->plan);
    if (!m->plan)
        return false;
    m->n_ops = n;
    for (size_t i = 0; i < n; i++) {
        struct q4_op *op = &m->plan[i];
        const char *kind, *name;
        Py_ssize_t in_col, out_col, heads;
        if (!parse_item(plan, i, "ssiininniiiI", &kind, &name, &op->layer, &op->in, &in_col, &op->out, &out_col, &heads,
                        &op->weight, &op->vector, &op->table, &op->flags))
            return false;
        if (in_col < 0 || out_col < 0 || heads < 0)
            return q4_fail("an operation has a negative column");
        op->in_col = (size_t)in_col;
        op->out_col = (size_t)out_col;
        op->heads = (size_t)heads;
        copy_name(op->name, name);
        op->kind = Q4_OP_KINDS;
        for (int k = 0; k < Q4_OP_KINDS; k++)
            if (strcmp(kind, q4_op_kind_names[k]) == 0)
                op->kind = (enum q4_op_kind)k;
    }
    return true;
}

// Weight specifications: (name, type, columns, [(buffer, rows), …]).
static bool parse_weights(struct q4_model *m, PyObject *weights) {
    size_t n = (size_t)PyList_Size(weights);
    m->weights = new_array(n, sizeof *m->weights);
    if (!m->weights)
        return false;
    m->n_weights = n;
    for (size_t i = 0; i < n; i++) {
        struct q4_weight *w = &m->weights[i];
        const char *name;
        int type;
        Py_ssize_t columns, rows;
        PyObject *sources, *buffer;
        if (!parse_item(weights, i, "sinO", &name, &type, &columns, &sources) || !find_type(m, type, name, &w->type))
            return false;
        if (!PyList_Check(sources) || PyList_Size(sources) == 0 || columns <= 0)
            return q4_fail("a weight needs columns and a list of sources");
        copy_name(w->name, name);
        w->k = (size_t)columns;
        for (Py_ssize_t s = 0; s < PyList_Size(sources); s++) {
            if (!parse_item(sources, (size_t)s, "On", &buffer, &rows))
                return false;
            if (rows <= 0 || __builtin_add_overflow(w->rows, (size_t)rows, &w->rows))
                return q4_fail("a weight's source has no rows");
        }
    }
    char error[Q4_ERROR_SIZE];
    return q4_model_place_weights(m, error) || q4_fail(error);
}

// The buffers of all weights while they are packed.
struct held_sources {
    struct q4_sources *sources; // [weight]
    struct q4_source *list;     // of all weights, one after the other
    Py_buffer *buffers;         // in the same order
    size_t n, room;
};

// A weight's list of sources; NULL with an exception where it is none any more.
static PyObject *sources_of(PyObject *weights, size_t i) {
    PyObject *weight = PyList_GetItem(weights, (Py_ssize_t)i);
    PyObject *list = weight ? PyTuple_GetItem(weight, 3) : NULL;
    if (list && !PyList_Check(list))
        return q4_fail("a weight needs columns and a list of sources"), NULL;
    return list;
}

static bool hold_source(struct held_sources *held, const struct q4_weight *w, PyObject *list, size_t i) {
    if (held->n == held->room)
        return q4_fail("the list of a weight's sources has changed");
    Py_ssize_t rows;
    size_t size;
    char error[Q4_ERROR_SIZE];
    Py_buffer *buffer = &held->buffers[held->n];
    if (!parse_item(list, i, "y*n", buffer, &rows))
        return false;
    held->list[held->n++] = (struct q4_source){.data = buffer->buf, .rows = (size_t)rows};
    if (q4_mul_size(q4_row_bytes(w->type, w->k), (size_t)rows, &size) && size == (size_t)buffer->len &&
        (uintptr_t)buffer->buf % sizeof(float) == 0)
        return true;
    PyOS_snprintf(error, sizeof error, "%s: a source's size or alignment does not match its type and shape", w->name);
    return q4_fail(error);
}

static bool hold_sources(struct held_sources *held, const struct q4_model *m, PyObject *weights) {
    for (size_t i = 0; i < m->n_weights; i++) {
        PyObject *list = sources_of(weights, i);
        if (list == NULL)
            return false;
        held->room += (size_t)PyList_Size(list);
    }
    held->sources = new_array(m->n_weights, sizeof *held->sources);
    held->list = new_array(held->room, sizeof *held->list);
    held->buffers = new_array(held->room, sizeof *held->buffers);
    if (!held->sources || !held->list || !held->buffers)
        return false;
    for (size_t i = 0; i < m->n_weights; i++) {
        PyObject *list = sources_of(weights, i);
        if (list == NULL)
            return false;
        held->sources[i] = (struct q4_sources){held->list + held->n, (size_t)PyList_Size(list)};
        size_t rows = 0;
        for (size_t s = 0; s < held->sources[i].n; s++) {
            if (!hold_source(held, &m->weights[i], list, s))
                return false;
            rows += held->sources[i].list[s].rows;
        }
        if (rows != m->weights[i].rows)
            return q4_fail("the list of a weight's sources has changed");
    }
    return true;
}

static bool pack_weights(struct q4_model *m, PyObject *weights, int release) {
    struct held_sources held = {0};
    char error[Q4_ERROR_SIZE] = "";
    bool ok = hold_sources(&held, m, weights);
    if (ok) {
        Py_BEGIN_ALLOW_THREADS;
        ok = q4_model_pack(m, held.sources, release, error);
        Py_END_ALLOW_THREADS;
    }
    for (size_t i = 0; i < held.n; i++)
        PyBuffer_Release(&held.buffers[i]);
    free(held.sources);
    free(held.list);
    free(held.buffers);
    return ok || q4_fail(error);
}

static bool parse_features(struct q4_model *m, const char *list) {
    char error[Q4_ERROR_SIZE];
    if (!q4_cpu_select(list, &m->features, error, sizeof error))
        return q4_fail(error);
    m->ops = q4_arch_ops(m->features);
    return true;
}

static bool make_rope(struct q4_model *m, int factors) {
    const struct q4_params *p = &m->params;
    const float *f = NULL;
    if (factors != Q4_NONE) {
        if (factors < 0 || (size_t)factors >= m->n_vectors || m->vectors[factors].n != p->rope_dim / 2)
            return q4_fail("RoPE needs one factor a pair");
        f = m->vectors[factors].data;
    }
    m->rope_frequency = new_array(p->rope_dim / 2, sizeof(double));
    if (!m->rope_frequency)
        return false;
    uint64_t fp = q4_fp_enter();
    q4_rope_frequencies(m->rope_frequency, p->rope_dim, p->rope_base, f);
    q4_fp_leave(fp);
    for (size_t i = 0; i < p->rope_dim / 2; i++)
        if (!(m->rope_frequency[i] > 0.0 && m->rope_frequency[i] <= Q4_MAX_FREQUENCY))
            return q4_fail("a factor of RoPE is out of range");
    return true;
}

static bool build_model(ModelObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"n_threads", "cpus",    "features", "params",       "tables",  "vectors",
                            "weights",   "buffers", "plan",     "rope_factors", "release", NULL};
    struct q4_model *m = &self->model;
    int n_threads, rope_factors, release;
    const char *features;
    PyObject *cpus, *params, *tables, *vectors, *weights, *buffers, *plan;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "iOzOOOOOOip", names, &n_threads, &cpus, &features, &params, &tables,
                                     &vectors, &weights, &buffers, &plan, &rope_factors, &release))
        return false;
    PyObject *lists[] = {tables, vectors, weights, buffers, plan};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (!PyList_Check(lists[i]))
            return q4_fail("tables, vectors, weights, buffers and plan must be lists");
    if (!PyDict_Check(params))
        return q4_fail("params must be a dict");
    char error[Q4_ERROR_SIZE];
    if (!parse_features(m, features) || !parse_params(&m->params, params) || !parse_team(m, n_threads, cpus) ||
        !parse_tables(self, tables) || !parse_vectors(m, vectors) || !parse_buffers(m, buffers) ||
        !parse_plan(m, plan) || !parse_weights(m, weights))
        return false;
    if (!q4_model_check_plan(m, error))
        return q4_fail(error);
    return pack_weights(m, weights, release) && make_rope(m, rope_factors);
}

static PyObject *model_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    ModelObject *self = (ModelObject *)allocate(type, 0); // zeroed
    if (self && !build_model(self, args, kwargs))
        Py_CLEAR(self);
    return (PyObject *)self;
}

void q4_free_object(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static void model_dealloc(PyObject *object) {
    ModelObject *self = (ModelObject *)object;
    q4_model_clear(&self->model);
    for (size_t i = 0; i < self->n_held; i++)
        PyBuffer_Release(&self->held[i]);
    free(self->held);
    q4_free_object(object);
}

PyDoc_STRVAR(kernels_doc,
             "kernels() -> list[tuple[str, str, int, int, int, str, str, str]]\n\n"
             "For each packed weight: name, type, rows, columns, bytes, layout, GEMV kernel, GEMM kernel.");

static PyObject *model_kernels(PyObject *object, PyObject *unused) {
    (void)unused;
    const struct q4_model *m = &((ModelObject *)object)->model;
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < m->n_weights; i++) {
        const struct q4_weight *w = &m->weights[i];
        PyObject *row = Py_BuildValue("(ssnnnsss)", w->name, w->type->name, (Py_ssize_t)w->rows, (Py_ssize_t)w->k,
                                      (Py_ssize_t)w->bytes, w->kernels.gemv->layout->name, w->kernels.gemv->name,
                                      w->kernels.gemm->name);
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

static PyMethodDef model_methods[] = {
    {"kernels", model_kernels, METH_NOARGS, kernels_doc},
    {"variant", model_variant, METH_NOARGS, variant_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot model_slots[] = {
    {Py_tp_doc, "A model, packed and planned. Built by q4engine.engine; see native/model.h."},
    {Py_tp_new, (void *)model_new},
    {Py_tp_dealloc, (void *)model_dealloc},
    {Py_tp_methods, model_methods},
    {0, NULL},
};

PyType_Spec q4_model_spec = {
    .name = "q4engine._native.Model",
    .basicsize = sizeof(ModelObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = model_slots,
};
