/*
 * render.h - documents as text. Everything is drawn from the JSON alone, so that what a server and
 * a file answer look the same. Pure apart from out; each is a render_fn (cli.h).
 */
#ifndef STAX_CLI_RENDER_H
#define STAX_CLI_RENDER_H

#include "base/json.h"
#include "cli/args.h"
#include "cli/out.h"

void render_top(struct out *out, const json_t *document, const struct args *args);
void render_flame(struct out *out, const json_t *document, const struct args *args);
void render_waits(struct out *out, const json_t *document, const struct args *args);
void render_compare(struct out *out, const json_t *document, const struct args *args);
void render_wakers(struct out *out, const json_t *document, const struct args *args);
void render_threads(struct out *out, const json_t *document, const struct args *args);
void render_annotate(struct out *out, const json_t *document, const struct args *args);
void render_cfg(struct out *out, const json_t *document, const struct args *args);
void render_sql(struct out *out, const json_t *document, const struct args *args);
void render_status(struct out *out, const json_t *document, const struct args *args);
void render_list(struct out *out, const json_t *document, const struct args *args);
void render_diagnose(struct out *out, const json_t *document, const struct args *args);
void render_host(struct out *out, const json_t *document, const struct args *args);
void render_stop(struct out *out, const json_t *document, const struct args *args);
void render_wait(struct out *out, const json_t *document, const struct args *args);
void render_symbolize(struct out *out, const json_t *document, const struct args *args);
void render_symbols(struct out *out, const json_t *document, const struct args *args);
void render_save(struct out *out, const json_t *document, const struct args *args);
void render_open(struct out *out, const json_t *document, const struct args *args);
void render_select(struct out *out, const json_t *document, const struct args *args);

/* The line above a view: which run, its state, how much data. */
void render_run_line(struct out *out, const json_t *document);

/* The line below it when a view is by a counter: which one, and how much there is of it. */
void render_by_line(struct out *out, const json_t *data);

/* One result of SQL: {"columns":[],"rows":[]} as an aligned table or as CSV (RFC 4180). */
void render_sql_table(struct out *out, const json_t *data);
void render_sql_csv(struct out *out, const json_t *data);

/* The end of stax record: what was recorded, the first functions of a top document, what to try. */
void render_summary(struct out *out, const json_t *top_document);
/* "1 sample", "2 samples". */
void render_count(struct buf *b, int64_t n, const char *what);
/* "12.3 s", "4 min 05 s", "2 h 03 min". */
void render_seconds(struct buf *b, int64_t ns);
/* "512 B", "1.5 MiB". */
void render_bytes(struct buf *b, int64_t n_bytes);

#endif
