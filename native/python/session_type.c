// Session for Python.
#include "objects.h"

#include <stdio.h>
#include <unistd.h>

static PyObject *session_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"model", "n_ctx", "n_batch", NULL};
    const struct q4_module_state *module = PyType_GetModuleState(type);
    PyObject *model;
    Py_ssize_t n_ctx, n_batch;
    if (!module ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "O!nn", names, module->model_type, &model, &n_ctx, &n_batch))
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    SessionObject *self = (SessionObject *)allocate(type, 0);
    if (self == NULL)
        return NULL;
    char error[Q4_ERROR_SIZE];
    if (n_ctx < 1 || n_batch < 1 ||
        !q4_session_init(&self->session, &((ModelObject *)model)->model, (size_t)n_ctx, (size_t)n_batch, error)) {
        q4_fail(n_ctx < 1 || n_batch < 1 ? "context and batch must be positive" : error);
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
    q4_free_object(object);
}

// Tokens times bytes of weights from which on a call may take a tenth of a second somewhere: shorter ones end by
// themselves, and do not look at the clock.
#define LONG_CALL ((size_t)1 << 29)

PyDoc_STRVAR(
    decode_doc,
    "decode(tokens, n_past, all_logits, logits, phase=1, /) -> bool\n\n"
    "Runs the plan once. tokens: int32 buffer of 1 to n_batch tokens, the first at position n_past.\n"
    "logits: writable float32 buffer of [vocabulary], the last position's, or with all_logits of\n"
    "[tokens, vocabulary]. phase: of constants()['phases'], 'none' for a call that is no part of the run.\n"
    "Returns whether recorded is to be called now. ValueError where the call does not fit or a value is not finite.");

static bool run_decode(SessionObject *self, const Py_buffer *tokens, const Py_buffer *logits, Py_ssize_t n_past,
                       int all, int phase) {
    size_t n = (size_t)tokens->len / sizeof(int32_t), vocabulary = q4_session_vocabulary(&self->session),
           rows = all ? n : 1;
    // looked at last: converting the arguments may have run Python code, and other threads
    if (!q4_session_idle(self) || !q4_may_evaluate())
        return false;
    if (n_past < 0 || tokens->len % (Py_ssize_t)sizeof(int32_t) || n > self->session.n_batch ||
        (uintptr_t)tokens->buf % sizeof(int32_t) || (uintptr_t)logits->buf % sizeof(float) ||
        (size_t)logits->len != rows * vocabulary * sizeof(float))
        return q4_fail("buffers do not match the call");
    if (phase < Q4_PHASE_NONE || phase >= Q4_N_PHASES)
        return q4_fail("there is no phase of this number");
    struct q4_call call = {.tokens = tokens->buf,
                           .n_tokens = n,
                           .n_past = (size_t)n_past,
                           .all_logits = all,
                           .phase = (enum q4_phase)phase,
                           .logits = logits->buf};
    struct q4_released released;
    if (n * self->session.model->arena_bytes >= LONG_CALL)
        call.interrupt = &released.interrupt;
    char error[Q4_ERROR_SIZE];
    self->busy = getpid();
    q4_release_gil(&released);
    bool ok = q4_session_decode(&self->session, &call, error);
    q4_take_gil(&released);
    self->busy = 0;
    return ok || q4_fail(error);
}

static PyObject *session_decode(PyObject *object, PyObject *args) {
    SessionObject *self = (SessionObject *)object;
    Py_buffer tokens, logits;
    Py_ssize_t n_past;
    int all, phase = Q4_PHASE_PREFILL;
    if (!PyArg_ParseTuple(args, "y*npw*|i", &tokens, &n_past, &all, &logits, &phase))
        return NULL;
    bool ok = run_decode(self, &tokens, &logits, n_past, all, phase);
    PyBuffer_Release(&tokens);
    PyBuffer_Release(&logits);
    if (!ok)
        return NULL;
    struct q4_recorder *recorder = phase ? self->session.recorder : NULL;
    return PyBool_FromLong(recorder && q4_records_due(recorder));
}

// A buffer of as many bytes as n positions have, in a session that does nothing else.
static bool kv_buffer(SessionObject *self, Py_ssize_t n, const Py_buffer *buffer) {
    if (!q4_session_idle(self))
        return false;
    if (n < 0 || (size_t)n > self->session.n_ctx)
        return q4_fail("as many positions as the context has at most");
    return (size_t)buffer->len == q4_kv_saved_bytes(self->session.model, (size_t)n) ||
           q4_fail("the buffer does not match the positions");
}

PyDoc_STRVAR(kv_bytes_doc, "kv_bytes(n, /) -> int\n\nBytes that save_kv writes of the first n positions.");

static PyObject *session_kv_bytes(PyObject *object, PyObject *args) {
    SessionObject *self = (SessionObject *)object;
    Py_ssize_t n;
    if (!PyArg_ParseTuple(args, "n", &n))
        return NULL;
    if (n < 0 || (size_t)n > self->session.n_ctx) {
        q4_fail("as many positions as the context has at most");
        return NULL;
    }
    return PyLong_FromSize_t(q4_kv_saved_bytes(self->session.model, (size_t)n));
}

PyDoc_STRVAR(save_kv_doc, "save_kv(n, out, /) -> None\n\n"
                          "Keys and values of the first n positions to a writable buffer of kv_bytes(n).");

static PyObject *session_save_kv(PyObject *object, PyObject *args) {
    SessionObject *self = (SessionObject *)object;
    Py_ssize_t n;
    Py_buffer out;
    if (!PyArg_ParseTuple(args, "nw*", &n, &out))
        return NULL;
    bool ok = kv_buffer(self, n, &out);
    ok = ok && ((uintptr_t)out.buf % sizeof(uint16_t) == 0 || q4_fail("the buffer lies at an odd address"));
    if (ok)
        q4_kv_save(&self->session.cache, self->session.model, (size_t)n, out.buf);
    PyBuffer_Release(&out);
    if (!ok)
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(load_kv_doc, "load_kv(n, from, /) -> None\n\n"
                          "Keys and values of the first n positions from a buffer that save_kv wrote.");

static PyObject *session_load_kv(PyObject *object, PyObject *args) {
    SessionObject *self = (SessionObject *)object;
    Py_ssize_t n;
    Py_buffer from;
    if (!PyArg_ParseTuple(args, "ny*", &n, &from))
        return NULL;
    bool ok = kv_buffer(self, n, &from);
    if (ok)
        q4_kv_load(&self->session.cache, self->session.model, (size_t)n, from.buf);
    PyBuffer_Release(&from);
    if (!ok)
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    address_ranges_doc,
    "address_ranges() -> list[tuple[str, str, int, int]]\n\n"
    "Where the session's data lies: kind (weights, table, keys, values, activations), name, first address and\n"
    "the one behind the last. Tables are the graph's, in its order, without a name.");

struct address_range {
    const char *kind, *name;
    const void *data;
    size_t bytes;
};

static bool append_range(PyObject *list, struct address_range range) {
    unsigned long long start = (uintptr_t)range.data;
    PyObject *row = Py_BuildValue("(ssKK)", range.kind, range.name, start, start + range.bytes);
    bool ok = row && PyList_Append(list, row) == 0;
    Py_XDECREF(row);
    return ok;
}

static bool append_layer(PyObject *list, const struct q4_session *s, size_t i) {
    const struct q4_kv_layer *layer = &s->cache.layers[i];
    size_t bytes = layer->head_stride * s->model->kv_shapes[i].heads * sizeof *s->cache.keys;
    char name[32];
    snprintf(name, sizeof name, "blk.%zu", i);
    return append_range(list, (struct address_range){"keys", name, s->cache.keys + layer->first, bytes}) &&
           append_range(list, (struct address_range){"values", name, s->cache.values + layer->first, bytes});
}

static PyObject *session_address_ranges(PyObject *object, PyObject *unused) {
    (void)unused;
    const struct q4_session *s = &((SessionObject *)object)->session;
    const struct q4_model *m = s->model;
    PyObject *list = PyList_New(0);
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < m->n_weights; i++)
        ok = append_range(
            list, (struct address_range){"weights", m->weights[i].name, m->weights[i].data, m->weights[i].bytes});
    for (size_t i = 0; ok && i < m->n_tables; i++)
        ok = append_range(
            list, (struct address_range){"table", "", m->tables[i].data, m->tables[i].rows * m->tables[i].row_bytes});
    for (size_t i = 0; ok && i < m->n_layers; i++)
        ok = append_layer(list, s, i);
    if (ok && append_range(list, (struct address_range){"activations", "", s->memory, s->memory_bytes}))
        return list;
    Py_XDECREF(list);
    return NULL;
}

static PyMethodDef session_methods[] = {
    {"address_ranges", session_address_ranges, METH_NOARGS, address_ranges_doc},
    {"kv_bytes", session_kv_bytes, METH_VARARGS, kv_bytes_doc},
    {"save_kv", session_save_kv, METH_VARARGS, save_kv_doc},
    {"load_kv", session_load_kv, METH_VARARGS, load_kv_doc},
    {"decode", session_decode, METH_VARARGS, decode_doc},
    {"record", q4_session_record, METH_VARARGS, q4_session_record_doc},
    {"select", q4_session_select, METH_VARARGS, q4_session_select_doc},
    {"remind", q4_session_remind, METH_VARARGS, q4_session_remind_doc},
    {"recorded", q4_session_recorded, METH_NOARGS, q4_session_recorded_doc},
    {"record_cost", q4_session_cost, METH_NOARGS, q4_session_cost_doc},
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
    .name = "q4engine._native.Session",
    .basicsize = sizeof(SessionObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = session_slots,
};

int q4_add_model_types(PyObject *module) {
    struct q4_module_state *state = PyModule_GetState(module);
    state->model_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &q4_model_type_spec, NULL);
    PyTypeObject *session_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &session_spec, NULL);
    int status = state->model_type && session_type ? PyModule_AddType(module, state->model_type) : -1;
    if (status == 0)
        status = PyModule_AddType(module, session_type);
    Py_XDECREF((PyObject *)session_type);
    return status;
}
