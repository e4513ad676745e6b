/* handlers_host.c - what this host lets runs record: settings, parts and abilities. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "capture/capture.h"
#include "capture/host.h"
#include "capture/staxd/protocol.h"
#include "server/handlers.h"
#include "server/server.h"

int handlers_daemon_socket(const json_t *parameters, const char **path, struct err *e)
{
    *path = json_text_at(parameters, "daemon_socket", BROKER_SOCKET);
    if ((*path)[0] && (*path)[0] != '/') {
        return err_set(e, STAX_EUSAGE,
                       "the path of staxd's socket must be absolute or empty, not '%s'", *path);
    }
    return 0;
}

static void add_check(json_t *checks, const struct host_check *c)
{
    json_t *row = json_object();
    json_object_set_new(row, "name", json_string(c->name));
    json_object_set_new(row, "value", json_clean_string(c->value));
    json_object_set_new(row, "is_ok", json_boolean(c->is_ok));
    json_object_set_new(row, "note", json_clean_string(c->note));
    json_object_set_new(row, "unlock", json_clean_string(c->unlock));
    json_array_append_new(checks, row);
}

/* Where runs are kept. */
static void add_data_dir(json_t *checks, const struct datadir *d)
{
    struct host_check c = {.name = "data directory", .is_ok = d->is_tmpfs};
    snprintf(c.value, sizeof(c.value), "%.120s, %" PRId64 " MiB free", d->path,
             datadir_free_bytes(d) >> 20);
    if (d->warning[0]) {
        snprintf(c.note, sizeof(c.note), "%s", d->warning);
    } else if (!d->is_tmpfs) {
        snprintf(c.note, sizeof(c.note), "not in memory: runs are written to a disk");
        snprintf(c.unlock, sizeof(c.unlock), "STAX_DATA_DIR in a tmpfs, such as /dev/shm");
    }
    add_check(checks, &c);
}

static json_t *abilities_member(const char *daemon_socket)
{
    struct capture_ability rows[ABILITIES_MAX];
    size_t n = capture_probe(daemon_socket, rows);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(list, json_pack("{s:s,s:b,s:s,s:s}", "name", rows[i].name,
                                              "is_available", rows[i].is_available, "reason",
                                              rows[i].reason, "unlock", rows[i].unlock));
    }
    return list;
}

int method_diagnose_host(struct call *c, struct readers *readers, json_t **document, struct err *e)
{
    (void)readers;
    const char *daemon_socket;
    int rc = handlers_daemon_socket(c->parameters, &daemon_socket, e);
    if (rc) {
        return rc;
    }
    struct host_check rows[HOST_CHECKS_MAX];
    struct utsname name = {0};
    size_t n = host_check(daemon_socket, rows);
    json_t *checks = json_array();
    for (size_t i = 0; i < n; i++) {
        add_check(checks, &rows[i]);
    }
    add_data_dir(checks, &c->server->datadir);
    uname(&name);
    json_t *data =
        json_pack("{s:s,s:I,s:I,s:o,s:o}", "kernel", name.release, "uid", (json_int_t)geteuid(),
                  "n_cpus", (json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "abilities",
                  abilities_member(daemon_socket), "checks", checks);
    *document = document_new(c->method->schema, NULL, data, NULL, NULL);
    return 0;
}
