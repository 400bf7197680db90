// Model and Session for Python. Everything is copied or packed while the model is built, except the embedding, whose
// buffer (the mapped file) is held.
#define _GNU_SOURCE
#include "bindings.h"

#include "../cpu.h"
#include "../rope_table.h"
#include "../session.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef struct {
    PyObject_HEAD
    struct q4_model model;
    Py_buffer *held; // the tables' buffers
    size_t n_held;
} ModelObject;

typedef struct {
    PyObject_HEAD
    struct q4_session session;
    PyObject *model;
    int busy; // a call is running without the GIL
} SessionObject;

static bool fail(const char *message) {
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, message);
    return false;
}

// Allocates n elements for a list given by Python, which may be empty.
static void *new_array(size_t n, size_t size) {
    void *p = calloc(n ? n : 1, size);
    if (p == NULL)
        PyErr_NoMemory();
    return p;
}

static void copy_name(char *to, const char *from) { PyOS_snprintf(to, Q4_NAME_SIZE, "%s", from); }

// ---- building a model -----------------------------------------------------------------------------------------------

static bool parse_params(struct q4_params *p, PyObject *dict) {
    static const char *const keys[] = {"n_layers", "n_heads", "n_kv_heads", "head_dim", "rope_dim"};
    size_t *fields[] = {&p->n_layers, &p->n_heads, &p->n_kv_heads, &p->head_dim, &p->rope_dim};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        PyObject *value = PyDict_GetItemString(dict, keys[i]);
        if (value == NULL)
            return fail("params lack a key");
        *fields[i] = PyLong_AsSize_t(value);
        if (PyErr_Occurred())
            return false;
    }
    PyObject *neox = PyDict_GetItemString(dict, "rope_neox"), *base = PyDict_GetItemString(dict, "rope_base");
    PyObject *scale = PyDict_GetItemString(dict, "rope_scale"), *eps = PyDict_GetItemString(dict, "eps");
    if (!neox || !base || !scale || !eps)
        return fail("params lack a key");
    p->rope_style = PyObject_IsTrue(neox) ? Q4_ROPE_NEOX : Q4_ROPE_NORM;
    p->rope_base = PyFloat_AsDouble(base);
    p->rope_scale = PyFloat_AsDouble(scale);
    p->eps = (float)PyFloat_AsDouble(eps);
    return !PyErr_Occurred();
}

static bool parse_team(struct q4_model *m, int n_threads, PyObject *cpus) {
    if (n_threads < 1 || n_threads > Q4_MAX_THREADS)
        return fail("the number of threads must be 1 to 256");
    int list[Q4_MAX_THREADS];
    bool pinned = cpus != Py_None;
    if (pinned && (!PyList_Check(cpus) || PyList_Size(cpus) == 0))
        return fail("cpus must be a list of CPU numbers");
    for (int i = 0; pinned && i < n_threads; i++) {
        list[i] = (int)PyLong_AsLong(PyList_GetItem(cpus, i % PyList_Size(cpus)));
        if (PyErr_Occurred())
            return false;
        if (list[i] < 0 || list[i] > 1023)
            return fail("CPU numbers must be 0 to 1023");
    }
    m->team = q4_team_new(n_threads, pinned ? list : NULL);
    return m->team != NULL || fail("threads could not be started");
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
        Py_ssize_t rows, columns;
        if (!PyArg_ParseTuple(PyList_GetItem(tables, (Py_ssize_t)i), "y*inn", &self->held[i], &t->type, &rows, &columns))
            return false;
        self->n_held = i + 1;
        size_t block, bytes, size;
        if (rows <= 0 || columns <= 0 || !q4_type_block(t->type, &block, &bytes) || (size_t)columns % block ||
            !q4_mul_size((size_t)columns / block * bytes, (size_t)rows, &size) || size != (size_t)self->held[i].len)
            return fail("an embedding's size does not match its shape");
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
        if (PyObject_GetBuffer(PyList_GetItem(vectors, (Py_ssize_t)i), &b, PyBUF_SIMPLE) < 0)
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
        m->buffers[i].width = PyLong_AsSize_t(PyList_GetItem(widths, (Py_ssize_t)i));
        if (PyErr_Occurred())
            return false;
        if (m->buffers[i].width == 0 || m->buffers[i].width > (size_t)1 << 31)
            return fail("a buffer's width must be 1 to 2^31");
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
        if (!PyArg_ParseTuple(PyList_GetItem(plan, (Py_ssize_t)i), "ssiininniiiI", &kind, &name, &op->layer, &op->in,
                              &in_col, &op->out, &out_col, &heads, &op->weight, &op->vector, &op->table, &op->flags))
            return false;
        if (in_col < 0 || out_col < 0 || heads < 0)
            return fail("an operation has a negative column");
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
        Py_ssize_t columns, rows;
        PyObject *sources, *buffer;
        if (!PyArg_ParseTuple(PyList_GetItem(weights, (Py_ssize_t)i), "sinO", &name, &w->type, &columns, &sources))
            return false;
        if (!PyList_Check(sources) || PyList_Size(sources) == 0 || columns <= 0)
            return fail("a weight needs columns and a list of sources");
        copy_name(w->name, name);
        w->k = (size_t)columns;
        for (Py_ssize_t s = 0; s < PyList_Size(sources); s++) {
            if (!PyArg_ParseTuple(PyList_GetItem(sources, s), "On", &buffer, &rows))
                return false;
            if (rows <= 0 || __builtin_add_overflow(w->rows, (size_t)rows, &w->rows))
                return fail("a weight's source has no rows");
        }
    }
    char error[Q4_ERROR_SIZE];
    return q4_model_place_weights(m, error) || fail(error);
}

// The file's pages have been read and are not needed again; whole pages within the source are given back.
static void release_pages(const Py_buffer *b) {
    uintptr_t page = 4096, first = q4_round_up((uintptr_t)b->buf, page), end = ((uintptr_t)b->buf + (size_t)b->len) & ~(page - 1);
    if (end > first)
        madvise((void *)first, end - first, MADV_DONTNEED);
}

#define MAX_SOURCES 8

static bool pack_weight(struct q4_model *m, size_t index, PyObject *spec, int release) {
    PyObject *sources = PyTuple_GetItem(spec, 3);
    size_t n = (size_t)PyList_Size(sources), columns, bytes, taken = 0;
    struct q4_source list[MAX_SOURCES];
    Py_buffer buffers[MAX_SOURCES];
    char error[Q4_ERROR_SIZE] = "a weight has too many sources";
    bool ok = n <= MAX_SOURCES;
    q4_type_block(m->weights[index].type, &columns, &bytes);
    for (; ok && taken < n; taken++) {
        Py_ssize_t rows;
        size_t size;
        if (!PyArg_ParseTuple(PyList_GetItem(sources, (Py_ssize_t)taken), "y*n", &buffers[taken], &rows))
            ok = false;
        else if (!q4_mul_size(m->weights[index].k / columns * bytes, (size_t)rows, &size) ||
                 size != (size_t)buffers[taken].len) {
            PyOS_snprintf(error, sizeof error, "%s: a source's size does not match its shape", m->weights[index].name);
            PyBuffer_Release(&buffers[taken]);
            ok = false;
        } else {
            list[taken] = (struct q4_source){.data = buffers[taken].buf, .rows = (size_t)rows};
        }
        if (!ok)
            break;
    }
    if (ok) {
        Py_BEGIN_ALLOW_THREADS;
        ok = q4_model_pack(m, index, list, n, error);
        for (size_t i = 0; release && i < n; i++)
            release_pages(&buffers[i]);
        Py_END_ALLOW_THREADS;
    }
    for (size_t i = 0; i < taken; i++)
        PyBuffer_Release(&buffers[i]);
    return ok || fail(error);
}

static bool parse_features(struct q4_model *m, const char *list) {
    char error[Q4_ERROR_SIZE];
    if (!q4_cpu_select(list, &m->features, error, sizeof error))
        return fail(error);
    m->ops = q4_arch_ops(m->features);
    return true;
}

static bool make_rope(struct q4_model *m, int factors) {
    const struct q4_params *p = &m->params;
    const float *f = NULL;
    if (factors != Q4_NONE) {
        if (factors < 0 || (size_t)factors >= m->n_vectors || m->vectors[factors].n != p->rope_dim / 2)
            return fail("RoPE needs one factor a pair");
        f = m->vectors[factors].data;
    }
    m->rope_frequency = new_array(p->rope_dim / 2, sizeof(double));
    if (!m->rope_frequency)
        return false;
    uint64_t fp = q4_fp_enter();
    q4_rope_frequencies(m->rope_frequency, p->rope_dim, p->rope_base, p->rope_scale, f);
    q4_fp_leave(fp);
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
            return fail("tables, vectors, weights, buffers and plan must be lists");
    if (!PyDict_Check(params))
        return fail("params must be a dict");
    char error[Q4_ERROR_SIZE];
    if (!parse_features(m, features) || !parse_params(&m->params, params) || !parse_team(m, n_threads, cpus) ||
        !parse_tables(self, tables) || !parse_vectors(m, vectors) || !parse_buffers(m, buffers) ||
        !parse_plan(m, plan) || !parse_weights(m, weights))
        return false;
    if (!q4_model_check_plan(m, error))
        return fail(error);
    for (size_t i = 0; i < m->n_weights; i++)
        if (!pack_weight(m, i, PyList_GetItem(weights, (Py_ssize_t)i), release))
            return false;
    return make_rope(m, rope_factors);
}

static PyObject *model_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    ModelObject *self = (ModelObject *)allocate(type, 0); // zeroed
    if (self && !build_model(self, args, kwargs))
        Py_CLEAR(self);
    return (PyObject *)self;
}

static void free_object(PyObject *self) {
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
    free_object(object);
}

PyDoc_STRVAR(kernels_doc, "kernels() -> list[tuple[str, str, int, int, int, str, str, str]]\n\n"
                          "For each packed weight: name, type, rows, columns, bytes, layout, GEMV kernel, GEMM kernel.");

static PyObject *model_kernels(PyObject *object, PyObject *unused) {
    (void)unused;
    const struct q4_model *m = &((ModelObject *)object)->model;
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < m->n_weights; i++) {
        const struct q4_weight *w = &m->weights[i];
        PyObject *row = Py_BuildValue("(ssnnnsss)", w->name, q4_type_name(w->type), (Py_ssize_t)w->rows,
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

static PyType_Spec model_spec = {
    .name = "q4engine._native.Model", .basicsize = sizeof(ModelObject), .flags = Py_TPFLAGS_DEFAULT,
    .slots = model_slots,
};

// ---- sessions ---------------------------------------------------------------------------------------------------------

static PyObject *model_type;

static PyObject *session_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"model", "n_ctx", "n_batch", NULL};
    PyObject *model;
    Py_ssize_t n_ctx, n_batch;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!nn", names, (PyTypeObject *)model_type, &model, &n_ctx, &n_batch))
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    SessionObject *self = (SessionObject *)allocate(type, 0);
    if (self == NULL)
        return NULL;
    char error[Q4_ERROR_SIZE];
    if (n_ctx < 1 || n_batch < 1 ||
        !q4_session_init(&self->session, &((ModelObject *)model)->model, (size_t)n_ctx, (size_t)n_batch, error)) {
        fail(n_ctx < 1 || n_batch < 1 ? "context and batch must be positive" : error);
        Py_DECREF(self);
        return NULL;
    }
    Py_INCREF(model);
    self->model = model;
    return (PyObject *)self;
}

static void session_dealloc(PyObject *object) {
    SessionObject *self = (SessionObject *)object;
    q4_session_clear(&self->session);
    Py_XDECREF(self->model);
    free_object(object);
}

PyDoc_STRVAR(decode_doc, "decode(tokens, n_past, all_logits, logits, /) -> None\n\n"
                         "Runs the plan once. tokens: int32 buffer of 1 to n_batch tokens, the first at position n_past.\n"
                         "logits: writable float32 buffer of [vocabulary], the last position's, or with all_logits of\n"
                         "[tokens, vocabulary]. ValueError where the call does not fit or a value is not finite.");

static bool run_decode(SessionObject *self, const Py_buffer *tokens, const Py_buffer *logits, Py_ssize_t n_past, int all) {
    size_t n = (size_t)tokens->len / sizeof(int32_t), vocabulary = q4_session_vocabulary(&self->session), rows = all ? n : 1;
    if (n_past < 0 || tokens->len % (Py_ssize_t)sizeof(int32_t) || n > self->session.n_batch ||
        (size_t)logits->len != rows * vocabulary * sizeof(float))
        return fail("buffers do not match the call");
    struct q4_call call = {.tokens = tokens->buf, .n_tokens = n, .n_past = (size_t)n_past, .all_logits = all,
                           .logits = logits->buf};
    char error[Q4_ERROR_SIZE];
    bool ok;
    self->busy = 1;
    Py_BEGIN_ALLOW_THREADS;
    ok = q4_session_decode(&self->session, &call, error);
    Py_END_ALLOW_THREADS;
    self->busy = 0;
    return ok || fail(error);
}

static PyObject *session_decode(PyObject *object, PyObject *args) {
    SessionObject *self = (SessionObject *)object;
    Py_buffer tokens, logits;
    Py_ssize_t n_past;
    int all;
    if (self->busy)
        return fail("another thread is in a decode call of this session"), NULL;
    if (!PyArg_ParseTuple(args, "y*npw*", &tokens, &n_past, &all, &logits))
        return NULL;
    bool ok = run_decode(self, &tokens, &logits, n_past, all);
    PyBuffer_Release(&tokens);
    PyBuffer_Release(&logits);
    if (!ok)
        return NULL;
    Py_INCREF(Py_None);
    return Py_None;
}

static PyMethodDef session_methods[] = {
    {"decode", session_decode, METH_VARARGS, decode_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot session_slots[] = {
    {Py_tp_doc, "Session(model, n_ctx, n_batch): KV cache and activations of one timeline."},
    {Py_tp_new, (void *)session_new},
    {Py_tp_dealloc, (void *)session_dealloc},
    {Py_tp_methods, session_methods},
    {0, NULL},
};

static PyType_Spec session_spec = {
    .name = "q4engine._native.Session", .basicsize = sizeof(SessionObject), .flags = Py_TPFLAGS_DEFAULT,
    .slots = session_slots,
};

int q4_add_model_types(PyObject *module) {
    model_type = PyType_FromSpec(&model_spec);
    PyObject *session_type = PyType_FromSpec(&session_spec);
    int status = -1;
    if (model_type && session_type)
        status = PyModule_AddType(module, (PyTypeObject *)model_type) < 0 ||
                         PyModule_AddType(module, (PyTypeObject *)session_type) < 0
                     ? -1
                     : 0;
    Py_XDECREF(session_type);
    return status;
}
