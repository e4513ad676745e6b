/* debuginfod.c - see debuginfod.h. */
#include "ingest/debuginfod.h"

#include <ctype.h>
#include <elfutils/debuginfod.h>
#include <errno.h>
#include <glob.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"

enum {
    MAX_URLS_BYTES = 64 << 10,
    MAX_URL_BYTES = 120, /* in a note */
    MAX_KNOWN = 4096,    /* answers kept; all are forgotten when there are more */
    MAX_FAILURES = 2,    /* in a row, before the servers rest */
    MAX_REST_DOUBLINGS = 4
};
#define SECOND_NS INT64_C(1000000000)
static const int64_t NO_ANSWER_NS = 15 * SECOND_NS; /* until the first byte */
static const int64_t STALLED_NS = 20 * SECOND_NS;   /* without another byte */
static const int64_t MAX_FIND_NS = 600 * SECOND_NS; /* for one file */
static const int64_t MAX_FILE_BYTES = INT64_C(8) << 30;
static const int64_t FORGET_NS = 600 * SECOND_NS;    /* for which a negative answer holds */
static const int64_t FIRST_REST_NS = 30 * SECOND_NS; /* doubles with each further failure */

enum { OUTCOME_MAX = 128 };

/* An answer that holds for a while. */
struct known {
    int64_t until_ns;
    char outcome[OUTCOME_MAX];
};

struct debuginfod_servers {
    pthread_mutex_t lock;
    unsigned n_users;
    struct strmap known; /* build id -> index into answers + 1 */
    struct known *answers;
    size_t n_known, cap_known;
    int n_failures; /* in a row */
    int64_t resting_until_ns;
    int64_t start_ns; /* of what is under way */
    struct debuginfod_status status;
};

struct debuginfod {
    debuginfod_client *client;
    struct debuginfod_servers *servers;
    debuginfod_goes_on *goes_on;
    void *ctx;
    int64_t deadline_ns;
    /* of what is under way */
    int64_t start_ns, news_ns, n_done, n_all, last_done;
    const char *failure; /* why it was given up, or NULL; static */
    char outcome[OUTCOME_MAX];
    bool is_stopped; /* by us: says nothing of the servers */
};

void debuginfod_read_urls(void)
{
    glob_t files;
    struct buf urls = {0};
    if (getenv(DEBUGINFOD_URLS_ENV_VAR) || glob("/etc/debuginfod/*.urls", 0, NULL, &files) != 0) {
        return;
    }
    for (size_t i = 0; i < files.gl_pathc; i++) {
        fd_read_file(files.gl_pathv[i], MAX_URLS_BYTES, &urls);
        buf_addch(&urls, ' ');
    }
    globfree(&files);
    char *list = buf_take(&urls);
    for (char *c = list; *c; c++) {
        *c = isspace((unsigned char)*c) ? ' ' : *c;
    }
    if (strspn(list, " ") < strlen(list)) {
        setenv(DEBUGINFOD_URLS_ENV_VAR, list, 0);
    }
    free(list);
}

bool debuginfod_has_urls(void)
{
    const char *urls = getenv(DEBUGINFOD_URLS_ENV_VAR);
    return urls && strspn(urls, " ") < strlen(urls);
}

/* ---- what is known of the servers ---- */

struct debuginfod_servers *debuginfod_servers_new(void)
{
    struct debuginfod_servers *s = mem_new(1, sizeof(*s));
    pthread_mutex_init(&s->lock, NULL);
    s->n_users = 1;
    return s;
}

struct debuginfod_servers *debuginfod_servers_hold(struct debuginfod_servers *s)
{
    if (s) {
        pthread_mutex_lock(&s->lock);
        s->n_users++;
        pthread_mutex_unlock(&s->lock);
    }
    return s;
}

static bool is_last_user(struct debuginfod_servers *s)
{
    pthread_mutex_lock(&s->lock);
    bool is_last = --s->n_users == 0;
    pthread_mutex_unlock(&s->lock);
    return is_last;
}

void debuginfod_servers_free(struct debuginfod_servers *s)
{
    if (s && is_last_user(s)) {
        strmap_free(&s->known);
        free(s->answers);
        pthread_mutex_destroy(&s->lock);
        free(s);
    }
}

void debuginfod_servers_status(struct debuginfod_servers *s, struct debuginfod_status *status)
{
    int64_t now_ns = clock_monotonic_ns();
    pthread_mutex_lock(&s->lock);
    *status = s->status;
    status->elapsed_ns = status->build_id[0] ? now_ns - s->start_ns : 0;
    status->resting_ns = s->resting_until_ns > now_ns ? s->resting_until_ns - now_ns : 0;
    pthread_mutex_unlock(&s->lock);
}

/* Notes that a build is to be asked for; false: it is not, and outcome (OUTCOME_MAX) says why. */
static bool begin(struct debuginfod_servers *s, const char *build_id, const char *path,
                  char *outcome)
{
    int64_t now_ns = clock_monotonic_ns();
    pthread_mutex_lock(&s->lock);
    uint32_t known = strmap_get(&s->known, build_id, strlen(build_id));
    bool is_known = known && s->answers[known - 1].until_ns > now_ns;
    bool is_asked = s->resting_until_ns <= now_ns && !is_known;
    if (is_asked) {
        s->start_ns = now_ns;
        s->status.n_done_bytes = s->status.n_all_bytes = 0;
        snprintf(s->status.build_id, sizeof(s->status.build_id), "%s", build_id);
        snprintf(s->status.path, sizeof(s->status.path), "%s", path);
    } else {
        s->status.n_skipped++;
        snprintf(outcome, OUTCOME_MAX, is_known ? "%s" : "failed: %s",
                 is_known ? s->answers[known - 1].outcome : s->status.last_failure);
    }
    pthread_mutex_unlock(&s->lock);
    return is_asked;
}

static void remember(struct debuginfod_servers *s, const char *build_id, const char *outcome)
{
    if (s->n_known >= MAX_KNOWN) {
        strmap_free(&s->known);
        s->known = (struct strmap){0};
        s->n_known = 0;
    }
    uint32_t *known = strmap_put(&s->known, build_id, strlen(build_id));
    if (!*known) {
        mem_reserve(&s->answers, &s->cap_known, s->n_known + 1, sizeof(*s->answers));
        *known = (uint32_t)++s->n_known;
    }
    struct known *k = &s->answers[*known - 1];
    k->until_ns = clock_monotonic_ns() + FORGET_NS;
    snprintf(k->outcome, sizeof(k->outcome), "%s", outcome);
}

static void note_failure(struct debuginfod_servers *s, const char *failure)
{
    s->status.n_failed++;
    snprintf(s->status.last_failure, sizeof(s->status.last_failure), "%s", failure);
    if (++s->n_failures >= MAX_FAILURES) {
        int doublings = s->n_failures - MAX_FAILURES;
        doublings = doublings < MAX_REST_DOUBLINGS ? doublings : MAX_REST_DOUBLINGS;
        s->resting_until_ns = clock_monotonic_ns() + (FIRST_REST_NS << doublings);
    }
}

/* failure NULL: a server answered. outcome: of one that was not found. */
static void end(struct debuginfod_servers *s, const char *build_id, bool is_found,
                const char *failure, bool is_stopped, const char *outcome)
{
    pthread_mutex_lock(&s->lock);
    s->status.build_id[0] = s->status.path[0] = '\0';
    if (is_found) {
        s->status.n_found++;
    } else if (!is_stopped) {
        remember(s, build_id, outcome);
        s->status.n_not_found += !failure;
    }
    if (failure && !is_stopped) {
        note_failure(s, failure);
    } else if (!is_stopped) {
        s->n_failures = 0;
    }
    pthread_mutex_unlock(&s->lock);
}

/* ---- asking ---- */

/* Why what is under way is not worth waiting for, or NULL. */
static const char *hopeless(const struct debuginfod *d, int64_t now_ns, int64_t n_all)
{
    if (n_all > MAX_FILE_BYTES || d->n_done > MAX_FILE_BYTES) {
        return "the file is larger than 8 GiB";
    }
    if (now_ns - d->start_ns > MAX_FIND_NS) {
        return "the download took more than 10 minutes";
    }
    if (!d->n_done && now_ns - d->news_ns > NO_ANSWER_NS) {
        return "no answer within 15 s";
    }
    return now_ns - d->news_ns > STALLED_NS ? "the download stood still for 20 s" : NULL;
}

/* Whether done is bytes. Without a size it counts the calls, from 1 on, until the first byte came
 * (0.188). */
static bool is_bytes(struct debuginfod *d, int64_t done, int64_t all)
{
    bool is_count = done <= 1 || done == d->last_done + 1;
    d->last_done = done;
    return all > 0 || !is_count;
}

/* Called by the library every now and then; not 0 ends the download. */
static int progress(debuginfod_client *client, long done, long all)
{
    struct debuginfod *d = debuginfod_get_user_data(client);
    struct debuginfod_servers *s = d->servers;
    int64_t now_ns = clock_monotonic_ns();
    d->n_all = all > 0 ? all : d->n_all;
    if (is_bytes(d, done, all) && done > d->n_done) {
        d->n_done = done;
        d->news_ns = now_ns;
    }
    pthread_mutex_lock(&s->lock);
    s->status.n_done_bytes = d->n_done;
    s->status.n_all_bytes = all > 0 ? all : 0;
    pthread_mutex_unlock(&s->lock);
    d->is_stopped = !d->goes_on(d->ctx) || (d->deadline_ns && now_ns > d->deadline_ns);
    d->failure = d->is_stopped ? NULL : hopeless(d, now_ns, all);
    return d->is_stopped || d->failure;
}

struct debuginfod *debuginfod_open(struct debuginfod_servers *servers, debuginfod_goes_on *goes_on,
                                   void *ctx)
{
    debuginfod_client *client = debuginfod_begin();
    if (!client) {
        return NULL;
    }
    struct debuginfod *d = mem_new(1, sizeof(*d));
    *d = (struct debuginfod){.client = client, .servers = servers, .goes_on = goes_on, .ctx = ctx};
    debuginfod_set_user_data(client, d);
    debuginfod_set_progressfn(client, progress);
    return d;
}

void debuginfod_close(struct debuginfod *d)
{
    if (d) {
        debuginfod_end(d->client);
        free(d);
    }
}

void debuginfod_set_deadline(struct debuginfod *d, int64_t deadline_ns)
{
    d->deadline_ns = deadline_ns;
}

/* The library keeps "no server has it" for ten minutes as an empty file, also when nobody said so
 * (0.188). Where its cache is: debuginfod_find_debuginfo(3). */
static void forget_miss(const char *build_id)
{
    const char *cache = getenv(DEBUGINFOD_CACHE_PATH_ENV_VAR), *home = getenv("HOME");
    const char *xdg = getenv("XDG_CACHE_HOME");
    struct buf path = {0};
    struct stat st;
    if (cache) {
        buf_addstr(&path, cache);
    } else if (xdg && xdg[0]) {
        buf_addf(&path, "%s/debuginfod_client", xdg);
    } else {
        buf_addf(&path, "%s/.cache/debuginfod_client", home ? home : "");
    }
    buf_addf(&path, "/%s/debuginfo", build_id);
    if (lstat(buf_str(&path), &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0) {
        unlink(buf_str(&path));
    }
    buf_free(&path);
}

int debuginfod_find(struct debuginfod *d, const char *build_id, const char *path, char **debug_path)
{
    *debug_path = NULL;
    snprintf(d->outcome, sizeof(d->outcome), "%s", debuginfod_no_answer);
    int64_t now_ns = clock_monotonic_ns();
    if (!d->goes_on(d->ctx) || (d->deadline_ns && now_ns > d->deadline_ns) ||
        !begin(d->servers, build_id, path, d->outcome)) {
        return -1;
    }
    d->start_ns = d->news_ns = now_ns;
    d->n_done = d->n_all = d->last_done = 0;
    d->failure = NULL;
    d->is_stopped = false;
    int fd = debuginfod_find_debuginfo(d->client, (const unsigned char *)build_id, 0, debug_path);
    if (fd < 0) {
        free(*debug_path);
        *debug_path = NULL;
    }
    /* The library says ENOENT of everything. */
    const char *failure = d->failure;
    if (fd < 0 && !failure && (d->n_all || d->n_done)) {
        failure = "the download broke off";
    } else if (fd < 0 && !failure && fd != -ENOENT) {
        failure = strerrordesc_np(-fd);
    }
    if (fd < 0 && (failure || d->is_stopped)) {
        forget_miss(build_id);
    }
    if (fd < 0 && !d->is_stopped) {
        snprintf(d->outcome, sizeof(d->outcome), failure ? "failed: %s" : "%s",
                 failure ? failure : "does not have it");
    }
    end(d->servers, build_id, fd >= 0, fd >= 0 ? NULL : failure, d->is_stopped, d->outcome);
    return fd < 0 ? -1 : fd;
}

const char debuginfod_no_answer[] = "no answer yet";

const char *debuginfod_outcome(const struct debuginfod *d)
{
    return d->outcome;
}

/* A URL without the user's name and password, and without what follows a question mark. */
static void add_url(struct buf *out, const char *url, size_t len)
{
    const char *host = memmem(url, len, "://", 3);
    const char *end = url + len;
    host = host ? host + 3 : url;
    const char *path = host + strcspn(host, "/? ");
    const char *at = memrchr(host, '@', (size_t)(path - host));
    buf_add(out, url, (size_t)(host - url));
    host = at ? at + 1 : host;
    size_t n = strcspn(host, "?# ");
    n = n < (size_t)(end - host) ? n : (size_t)(end - host);
    text_clean(out, host, n < MAX_URL_BYTES ? n : MAX_URL_BYTES);
}

const char debuginfod_note_start[] = "debuginfod at ";

char *debuginfod_note(const char *outcome)
{
    struct buf note = {0};
    const char *urls = getenv(DEBUGINFOD_URLS_ENV_VAR);
    size_t n_others = 0;
    buf_addstr(&note, debuginfod_note_start);
    size_t start = note.len;
    for (const char *p = urls ? urls : ""; *(p += strspn(p, " ")); p += strcspn(p, " ")) {
        size_t len = strcspn(p, " ");
        bool is_url = memmem(p, len, "://", 3) != NULL; /* or a policy, such as ima:permissive */
        if (is_url && note.len == start) {
            add_url(&note, p, len);
        } else {
            n_others += is_url;
        }
    }
    if (n_others) {
        buf_addf(&note, " and %zu more", n_others);
    }
    buf_addf(&note, ": %s", outcome);
    return buf_take(&note);
}

void debuginfod_refuse(struct debuginfod_servers *s, const char *build_id, const char *debug_path,
                       const char *failure)
{
    char outcome[OUTCOME_MAX];
    snprintf(outcome, sizeof(outcome), "failed: %s", failure);
    unlink(debug_path);
    pthread_mutex_lock(&s->lock);
    remember(s, build_id, outcome);
    s->status.n_found--;
    s->status.n_failed++;
    snprintf(s->status.last_failure, sizeof(s->status.last_failure), "%s", failure);
    pthread_mutex_unlock(&s->lock);
}
