/* A hostile page: the input is a list of messages {u16 length, u8 flags, bytes} to one session, flags:
 * 1 text, 2 preceded by a good hello, 4 with a job under way (its expected reply in the upper bits). */
#include "bridge/bridge_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static wa_bridge_host host;

static void hello(bridge_session *s)
{
    static const char meta[] = "{\"wire\":3,\"limits\":{\"maxBufferSize\":1073741824},\"adapter\":{\"vendor\":\"v\",\"software\":true},\"user_agent\":\"Firefox/1.0\"}";
    json_t *j = json_loads(meta, 0, NULL);
    pthread_mutex_lock(&s->mutex);
    if (s->state == BRIDGE_NEW && wa__session_hello(s, j, NULL) == WA_OK) s->state = BRIDGE_READY;
    pthread_mutex_unlock(&s->mutex);
    json_decref(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!host.next_ticket) {
        pthread_mutex_init(&host.mutex, NULL);
        pthread_cond_init(&host.changed, NULL);
        host.next_ticket = 1;
    }
    bridge_session *s = wa__session_new(&host, NULL);
    if (!s) return 0;
    for (size_t at = 0; at + 3 <= size;) {
        size_t n = (size_t)(data[at] | data[at + 1] << 8);
        unsigned flags = data[at + 2];
        at += 3;
        if (n > size - at) n = size - at;
        if (flags & 2) hello(s);
        if (flags & 4) {
            bridge_job *j = &s->jobs[s->next_job % BRIDGE_JOBS_MAX];
            j->id = ++s->next_job;
            j->want = flags >> 3;
            j->done = false;
        }
        wa__session_on_message(s, data + at, n, !(flags & 1));
        at += n;
    }
    wa__session_free(s);
    return 0;
}
