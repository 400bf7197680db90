// Calls that are left early: whether they are to end is asked between the parts of an operation too, once it was
// answered nobody asks again, and the next call is as if the one before had not been.
#include "decoder.h"

#include "../session.h"

#include <stdlib.h>

#define MOST_TOKENS ((size_t)900) // more than products take at once

struct asker {
    struct q4_interrupt interrupt;
    size_t asked, end; // end: at which of its questions the call is to end; 0: at none
};

static bool came(void *context) {
    struct asker *a = context;
    a->interrupt.asked = 0; // long ago: the next question is asked too
    return ++a->asked == a->end;
}

struct text {
    int32_t tokens[MOST_TOKENS];
    size_t n;
};

// Tokens first .. first + n - 1; whether the call ran to its end.
static bool run_call(struct q4_session *session, const struct text *text, size_t first, size_t n, struct asker *asker,
                     float *logits) {
    char error[Q4_ERROR_SIZE];
    struct q4_call call = {.tokens = text->tokens + first, .n_tokens = n, .n_past = first, .logits = logits};
    if (asker) {
        asker->interrupt = (struct q4_interrupt){.came = came, .context = asker};
        call.interrupt = &asker->interrupt;
    }
    return q4_session_decode(session, &call, error);
}

// The text's logits in two calls, then in one that is left three times before it is done.
static bool leave_early(struct q4_session *session, const struct text *text, struct rng *r, char *what, size_t size) {
    size_t vocabulary = q4_session_vocabulary(session), bytes = vocabulary * sizeof(float), half = text->n / 2;
    float *first = malloc(2 * bytes), *again = first + vocabulary;
    struct asker all = {.end = 0};
    bool ok = first && run_call(session, text, 0, half, NULL, first) &&
              run_call(session, text, half, text->n - half, NULL, first) &&
              run_call(session, text, 0, text->n, &all, again) &&
              same_bits(again, first, vocabulary, sizeof *first, what, size);
    // behind each operation at most once; of several members the others may take all that is asked between
    if (ok && q4_team_size(session->model->team) == 1 && all.asked <= session->model->n_ops) {
        snprintf(what, size, "%zu tokens, %zu operations: asked %zu times", text->n, session->model->n_ops, all.asked);
        ok = false;
    }
    for (int i = 0; ok && i < 3; i++) {
        struct asker asker = {.end = rng_range(r, 1, all.asked)};
        bool done = run_call(session, text, 0, text->n, &asker, again);
        // how many questions there are depends on what the other members take; of a member alone they are as many
        if (done ? asker.asked >= asker.end || q4_team_size(session->model->team) == 1 : asker.asked != asker.end) {
            snprintf(what, size, "%zu tokens: to end at question %zu of %zu, asked %zu times", text->n, asker.end,
                     all.asked, asker.asked);
            ok = false;
        }
    }
    ok = ok && run_call(session, text, 0, text->n, NULL, again) &&
         same_bits(again, first, vocabulary, sizeof *first, what, size);
    free(first);
    return ok;
}

static bool interrupt_case(struct rng *r, const void *subject, char *what, size_t size) {
    (void)subject;
    struct decoder d;
    make_decoder(&d, r);
    struct text text = {.n = rng_range(r, MOST_TOKENS / 4, MOST_TOKENS)};
    for (size_t i = 0; i < text.n; i++)
        text.tokens[i] = (int32_t)rng_range(r, 0, d.vocabulary - 1);
    struct q4_model model;
    struct q4_session session;
    char error[Q4_ERROR_SIZE] = "a call failed";
    d.spec.n_threads = (int)rng_range(r, 1, 3);
    d.spec.unfused = d.spec.n_threads == 1; // each operation is walked
    bool ok = q4_model_build(&model, &d.spec, error);
    if (ok) {
        ok = q4_session_init(&session, &model, text.n, text.n, error);
        if (ok) {
            if (rng_next(r) & 1)
                q4_team_set_restless(model.team, (uint32_t)rng_range(r, 1, 20));
            ok = leave_early(&session, &text, r, what, size);
            q4_session_clear(&session);
        }
        q4_model_clear(&model);
    }
    if (!ok && *what == '\0')
        snprintf(what, size, "%.200s", error);
    free_decoder(&d);
    return ok;
}

void test_interrupt(void) {
    size_t cases = options.cases;
    options.cases = (cases + 9) / 10; // each is eight long calls
    run_cases("interrupt", interrupt_case, NULL);
    options.cases = cases;
}
