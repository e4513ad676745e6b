/* docs.c - see docs.h. */
#include "server/docs.h"

#include <inttypes.h>
#include <string.h>

static const char intro[] =
    "# RPC\n"
    "\n"
    "Written by `stax-server --print-rpc-docs` from the method table; do not edit.\n"
    "\n"
    "stax-server speaks JSON-RPC 2.0 with named parameters: `POST /rpc`, and one message per text\n"
    "frame on the WebSocket `/ws`. Both are on the Unix socket (`$STAX_SERVER_SOCKET`, else\n"
    "`$XDG_RUNTIME_DIR/stax-server.sock`, else `/tmp/stax-server-<uid>.sock`), which serves its "
    "own\n"
    "user, and on `127.0.0.1:8080` (`STAX_SERVER_WS_BIND`, `off` for none), which wants the token "
    "in\n"
    "the file `token` of the data directory as `Authorization: Bearer TOKEN` or `?token=TOKEN`, a\n"
    "`Host` of this machine, and no `Origin` but its own. `status` says where the server listens "
    "and\n"
    "where its data directory is. Every answer names the version: `Server: stax-server/VERSION`.\n"
    "\n"
    "A request needs a `Content-Length` (411 without) of at most 1 MiB (413). The answer's "
    "`result`\n"
    "is always one document:\n"
    "\n"
    "    {\"schema\": \"stax.top/1\", \"run\": {...}, \"data\": ..., \"quality\": {...}, "
    "\"warnings\": "
    "[...]}\n"
    "\n"
    "with `run` and `quality` null where no run is concerned. Errors are\n"
    "\n"
    "    {\"jsonrpc\": \"2.0\", \"id\": 1, \"error\": {\"code\": -32000, \"message\": \"...\",\n"
    "     \"data\": {\"code\": \"no_such_run\", \"message\": \"...\", \"hint\": \"...\"}}}\n"
    "\n"
    "where `code` is -32700 (not JSON), -32600 (not a request), -32601 (no such method), -32602 "
    "(bad\n"
    "parameters) or -32000 (it failed), and `data.code` one of";

static const char subscriptions[] =
    "\n"
    "## Subscriptions\n"
    "\n"
    "On `/ws`, `subscribe` names a view and its parameters; the document is pushed at most four "
    "times\n"
    "a second and only when its data changed, the newest state only:\n"
    "\n"
    "    {\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"subscribe\", \"params\": {\"view\": "
    "\"top\"}}\n"
    "    {\"jsonrpc\": \"2.0\", \"method\": \"update\", \"params\": {\"subscription\": 1, "
    "\"result\": "
    "{...}}}\n"
    "\n"
    "A client that leaves 64 MiB unread, or has more than 64 requests without an answer, is cut "
    "off.\n";

static void write_error_codes(struct buf *out)
{
#define X(name, value, wire)                                                                       \
    if ((value) != 0) {                                                                            \
        buf_addf(out, "%s`%s`", (value) == -1 ? "\n" : ", ", wire);                                \
    }
    STAX_ERRORS(X)
#undef X
    buf_addstr(out, ".\n");
}

static void write_range(struct buf *out, const struct parameter *p)
{
    if (p->is_required) {
        buf_addstr(out, " Required.");
    }
    if (p->min == 0 && p->max == 0) {
        return;
    }
    if (p->max == INT64_MAX) {
        buf_addf(out, " At least %" PRId64 ".", p->min);
    } else {
        buf_addf(out, " %" PRId64 " to %" PRId64 ".", p->min, p->max);
    }
}

static void write_method(struct buf *out, const struct method *m)
{
    buf_addf(out, "\n### %s\n\n%s\n", m->name, m->help);
    if (m->parameters[0].name) {
        buf_addstr(out, "\n| parameter | type | unit | |\n|---|---|---|---|\n");
    }
    for (const struct parameter *p = m->parameters; p->name; p++) {
        buf_addf(out, "| `%s` | %s | %s | %s.", p->name, p->type, p->unit, p->help);
        write_range(out, p);
        buf_addstr(out, " |\n");
    }
    buf_addf(out, "\nAnswers `%s`", m->schema);
    if (m->is_view) {
        buf_addstr(out, ".\n");
    } else {
        buf_addf(out, ": %s.\n", m->result);
    }
    if (m->is_ws_only) {
        buf_addf(out,
                 "\nOn `/ws` only:\n\n    {\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"%s\", "
                 "\"params\": %s}\n",
                 m->name, m->example);
        return;
    }
    buf_addf(out,
             "\n```sh\ncurl -sS --unix-socket \"$STAX_SERVER_SOCKET\" http://stax/rpc -d \\\n"
             "  '{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"%s\", \"params\": %s}'\n```\n",
             m->name, m->example);
}

static void write_group(struct buf *out, const struct methods *methods, const char *title,
                        bool is_control)
{
    buf_addf(out, "\n## %s\n", title);
    const struct method *m;
    for (size_t i = 0; (m = methods_at(methods, i)) != NULL; i++) {
        if (m->is_control == is_control) {
            write_method(out, m);
        }
    }
}

void docs_write(struct buf *out, const struct methods *methods)
{
    buf_addstr(out, intro);
    write_error_codes(out);
    write_group(out, methods, "RunControl", true);
    write_group(out, methods, "Profiler", false);
    buf_addstr(out, subscriptions);
}
