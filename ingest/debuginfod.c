/* debuginfod_client.c - see debuginfod.h. */
#include "ingest/debuginfod.h"

#include <ctype.h>
#include <elfutils/debuginfod.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"

enum { MAX_URLS_BYTES = 64 << 10 };
/* For one file: time without an answer that is not worth waiting for, and for a long download. */
static const int64_t MAX_FIND_NS = INT64_C(90) * 1000000000;

struct debuginfod {
    debuginfod_client *client;
    const atomic_bool *is_stopping;
    int64_t deadline_ns;
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

/* Called by the library every now and then; not 0 ends the download. */
static int progress(debuginfod_client *client, long done, long all)
{
    (void)done;
    (void)all;
    const struct debuginfod *d = debuginfod_get_user_data(client);
    return atomic_load(d->is_stopping) || clock_monotonic_ns() > d->deadline_ns;
}

struct debuginfod *debuginfod_open(const atomic_bool *is_stopping)
{
    debuginfod_client *client = debuginfod_begin();
    if (!client) {
        return NULL;
    }
    struct debuginfod *d = mem_new(1, sizeof(*d));
    *d = (struct debuginfod){.client = client, .is_stopping = is_stopping};
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

int debuginfod_find(struct debuginfod *d, const char *build_id, char **path)
{
    *path = NULL;
    d->deadline_ns = clock_monotonic_ns() + MAX_FIND_NS;
    int fd = debuginfod_find_debuginfo(d->client, (const unsigned char *)build_id, 0, path);
    if (fd < 0) {
        free(*path);
        *path = NULL;
    }
    return fd < 0 ? -1 : fd;
}
