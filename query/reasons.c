/* reasons.c - see reasons.h. */
#include "query/reasons.h"

#include <string.h>

#include "base/buf.h"
#include "base/text.h"

const struct reason reasons[N_STATES] = {
    {"idle", "idle_ns", "[idle]", "parked for work, e.g. on a condition variable"},
    {"lock", "lock_ns", "[lock]", "mutexes and read-write locks"},
    {"sem", "sem_ns", "[sem]", "semaphores"},
    {"ipc", "ipc_ns", "[ipc]", "pipes, message queues, other threads and processes"},
    {"ioR", "io_r_ns", "[ioR]", "reading"},
    {"ioW", "io_w_ns", "[ioW]", "writing"},
    {"ready", "ready_ns", "[ready]", "poll, select, epoll"},
    {"sleep", "sleep_ns", "[sleep]", "timers"},
    {"conn", "conn_ns", "[conn]", "connect, accept, open"},
    {"other", "other_ns", "[other]", "anything else"},
    {"runnable", "runnable_ns", "[runnable]", "able to run, but no CPU was free"},
};

int reason_of(const char *state, const char *reason)
{
    if (strcmp(state, "runnable") == 0) {
        return REASON_RUNNABLE;
    }
    for (int i = 0; i < N_REASONS; i++) {
        if (strcmp(reasons[i].name, reason) == 0) {
            return i;
        }
    }
    return REASON_OTHER;
}

int reason_parse(const char *word, int *reason, struct err *e)
{
    struct buf clean = {0};

    for (int i = 0; i < N_STATES; i++) {
        if (strcmp(reasons[i].name, word) == 0) {
            *reason = i;
            return 0;
        }
    }
    text_clean(&clean, word, strnlen(word, 64));
    err_set(e, STAX_EUSAGE, "there is no reason \"%s\"", buf_str(&clean));
    err_hint(e, "reasons are idle, lock, sem, ipc, ioR, ioW, ready, sleep, conn and other");
    buf_free(&clean);
    return STAX_EUSAGE;
}
