// Random models, built from C alone: however their operations are fused, cut and batched, the logits are the same bits
// as those of a plan that walks every operation on its own, on one thread, a token at a time, in portable C.
#include "decoder.h"

#include "../session.h"

#include <stdio.h>
#include <stdlib.h>

// ---- one case -----------------------------------------------------------------------------------

struct text {
    int32_t tokens[600];
    size_t n, n_ctx;
    float *logits; // of the reference: [n][vocabulary]
};

// Logits of the whole text in calls of random lengths up to `most`; of each call's last token alone unless `all`.
static bool run_text(const struct decoder *d, const struct q4_model *model, const struct text *text, struct rng *r,
                     size_t most, bool all, float *logits, char *error) {
    struct q4_session session;
    if (!q4_session_init(&session, model, text->n_ctx, most, error))
        return false;
    bool ok = true;
    for (size_t at = 0, n; ok && at < text->n; at += n) {
        n = q4_min_size(rng_range(r, 1, most), text->n - at);
        struct q4_call call = {.tokens = text->tokens + at, .n_tokens = n, .n_past = at, .all_logits = all};
        call.logits = logits + (all ? at : at + n - 1) * d->vocabulary;
        ok = q4_session_decode(&session, &call, error);
    }
    q4_session_clear(&session);
    return ok;
}

static bool compare_variant(const struct decoder *d, const struct text *text, struct rng *r, char *what, size_t size) {
    struct q4_model_spec spec = d->spec;
    struct q4_model model;
    char error[Q4_ERROR_SIZE] = "";
    const char *given = getenv("Q4_CPU_FEATURES");
    spec.features = rng_next(r) % 3 ? given : "none";
    spec.n_threads = (int)rng_range(r, 1, 4);
    spec.n_threads_batch = (int)rng_range(r, 0, 4);
    spec.unfused = rng_next(r) % 4 == 0;
    size_t most = rng_range(r, 1, rng_next(r) & 1 ? 8 : 260), n = text->n * d->vocabulary;
    uint32_t restless = rng_next(r) % 3 ? 0 : (uint32_t)rng_range(r, 1, 20);
    bool all = rng_next(r) & 1;
    size_t used = strlen(what);
    snprintf(what + used, size - used,
             "; features %s, %d and %d threads, one in %u questions leaves, %s, batches up to %zu%s",
             spec.features ? spec.features : "all", spec.n_threads, spec.n_threads_batch, restless,
             spec.unfused ? "unfused" : "fused", most, all ? ", all logits" : "");
    float *logits = malloc(n * sizeof *logits);
    if (logits == NULL)
        exit(2);
    memcpy(logits, text->logits, n * sizeof *logits); // what a call leaves out stays
    bool ok = q4_model_build(&model, &spec, error);
    if (ok) {
        q4_team_set_restless(model.team, restless);
        ok = run_text(d, &model, text, r, most, all, logits, error);
        q4_model_clear(&model);
    }
    used = strlen(what);
    if (!ok)
        snprintf(what + used, size - used, ": %s", error);
    ok = ok && same_bits(logits, text->logits, n, sizeof *logits, what, size);
    free(logits);
    if (ok)
        what[used - (used - strcspn(what, ";"))] = '\0'; // the next variant describes itself
    return ok;
}

static bool plan_case(struct rng *r, const void *subject, char *what, size_t size) {
    (void)subject;
    struct decoder d;
    make_decoder(&d, r);
    if (d.head_dim % q4_kv_traits[Q4_KV_Q8_0].columns == 0 && rng_next(r) & 1)
        d.spec.kv_form = q4_kv_traits[Q4_KV_Q8_0].name;
    struct text text = {.n = rng_range(r, 1, rng_next(r) % 16 ? 40 : 560)};
    text.n_ctx = text.n + rng_range(r, 0, 70);
    for (size_t i = 0; i < text.n; i++)
        text.tokens[i] = (int32_t)rng_range(r, 0, d.vocabulary - 1);
    text.logits = calloc(text.n * d.vocabulary, sizeof *text.logits);
    snprintf(what, size,
             "dim %zu, %zu of %zu heads of %zu, ffn %zu of %zu of %zu experts, %zu layers%s%s%s%s, window %zu, cap %g, "
             "scale %g, %zu tokens",
             d.dim, d.kv_heads, d.heads, d.head_dim, d.ffn, d.used, d.experts, d.layers, d.bias ? ", bias" : "",
             d.qk_norm ? ", QK norm" : "", d.spec.kv_form ? ", KV of int8" : "", d.post_norm ? ", post norm" : "",
             d.window, (double)d.cap, (double)d.scale, text.n);
    struct q4_model reference;
    struct q4_model_spec plain = d.spec;
    char error[Q4_ERROR_SIZE] = "";
    plain.features = "none";
    plain.n_threads = 1;
    plain.unfused = true;
    bool ok = text.logits && q4_model_build(&reference, &plain, error);
    if (ok) {
        ok = run_text(&d, &reference, &text, r, 1, true, text.logits, error);
        q4_model_clear(&reference);
    }
    if (!ok) {
        size_t used = strlen(what);
        snprintf(what + used, size - used, ": the reference: %s", error);
    }
    for (int i = 0; ok && i < 3; i++)
        ok = compare_variant(&d, &text, r, what, size);
    free(text.logits);
    free_decoder(&d);
    return ok;
}

void test_plan(void) {
    size_t cases = options.cases;
    options.cases = (cases + 2) / 3; // each is a reference and three variants
    run_cases("plan", plan_case, NULL);
    options.cases = cases;
}
