/* The browser starts while the host reads the model, tokenises and plans: both take a good part of a second, and
 * neither needs the other. In: a request. Out: where it runs. Called by api_run.c. */
#include "api_int.h"

struct api_ahead {
    wa_accelerator *a;
    const wa_accelerate_options *o;
    const char *model_type;
    pthread_t thread;
    api_choice choice;
    wa_status status;
    wa_error err;
};

static void *ahead_main(void *arg)
{
    api_ahead *h = arg;
    h->status = api_target_choose(h->a, h->o, h->model_type, &h->choice, &h->err);
    return NULL;
}

api_ahead *api_ahead_start(wa_accelerator *a, const wa_accelerate_options *o, const char *model_type)
{
    /* Only when nothing is open: an open session is found at once, and closing one is not for two threads. */
    bool cpu = o->simulate || (o->target && strcmp(o->target, "cpu") == 0);
    api_ahead *h = cpu || a->session_count ? NULL : wa__alloc(1, sizeof *h);
    if (!h) return NULL;
    *h = (api_ahead){.a = a, .o = o, .model_type = model_type};
    if (pthread_create(&h->thread, NULL, ahead_main, h) == 0) return h;
    wa__free(h);
    return NULL;
}

wa_status api_ahead_take(api_ahead *h, api_choice *out, wa_error *err)
{
    pthread_join(h->thread, NULL);
    wa_status s = h->status;
    if (s == WA_OK) *out = h->choice;
    else if (err) *err = h->err;
    wa__free(h);
    return s;
}
