/* prompt.c - see prompt.h. */
#include "cli/prompt.h"

#include <errno.h>
#include <histedit.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "cli/complete.h"
#include "cli/render.h"
#include "cli/sqltext.h"
#include "schema/db.h"

enum { HISTORY_LINES = 1000, MAX_SHOWN_WORDS = 200 };

struct prompt {
    struct cli *cli;
    struct sandbox *sandbox;
    const struct sandbox_limits *limits;
    json_t *names;
    EditLine *editor;
    History *history;
    struct buf history_file;
    struct buf pending; /* a statement without its end */
    int signals;        /* signalfd: SIGINT */
    bool is_done;
};

/* One query on a thread of its own, so that Ctrl-C can reach it. */
struct query_job {
    struct prompt *p;
    const char *sql;
    json_t *result;
    int rc;
    struct err e;
    int done; /* eventfd */
};

static void *run_job(void *ctx)
{
    struct query_job *job = ctx;
    uint64_t one = 1;
    job->rc = sandbox_query(job->p->sandbox, job->sql, job->p->limits, &job->result, &job->e);
    (void)fd_write_all(job->done, &one, sizeof one);
    return NULL;
}

static void wait_job(struct prompt *p, struct query_job *job)
{
    struct pollfd fds[2] = {{.fd = job->done, .events = POLLIN},
                            {.fd = p->signals, .events = POLLIN}};
    while (!(fds[0].revents & POLLIN)) {
        poll(fds, 2, -1);
        struct signalfd_siginfo info;
        while (read(p->signals, &info, sizeof info) == sizeof info) {
            sandbox_cancel(p->sandbox);
        }
    }
}

static void show_result(struct prompt *p, const json_t *result)
{
    struct out *out = &p->cli->out;
    int64_t n_rows = json_int_at(result, "n_rows", 0);
    render_sql_table(out, result);
    buf_addf(&out->text, "%s%" PRId64 " row%s, %.1f ms%s", out_style(out, STYLE_DIM), n_rows,
             n_rows == 1 ? "" : "s", json_real_at(result, "elapsed_ms", 0),
             out_style(out, STYLE_PLAIN));
    if (json_is_true(json_object_get(result, "is_truncated"))) {
        buf_addf(&out->text, "  %scut at the limit of %s%s", out_style(out, STYLE_YELLOW),
                 json_text_at(result, "limit", "rows"), out_style(out, STYLE_PLAIN));
    }
    buf_addstr(&out->text, "\n");
    out_flush(out, NULL);
}

static void answer(struct prompt *p, const char *sql)
{
    struct query_job job = {.p = p, .sql = sql, .done = eventfd(0, EFD_CLOEXEC)};
    pthread_t thread;
    if (job.done < 0 || pthread_create(&thread, NULL, run_job, &job)) {
        cli_note(p->cli, "cannot start a thread for the query");
        fd_close(&job.done);
        return;
    }
    wait_job(p, &job);
    pthread_join(thread, NULL);
    fd_close(&job.done);
    if (job.rc) {
        cli_fail(p->cli, &job.e);
    } else {
        show_result(p, job.result);
    }
    json_decref(job.result);
}

static void print_tables(struct prompt *p)
{
    struct out *out = &p->cli->out;
    size_t i, column = 0;
    const json_t *name;
    json_array_foreach(p->names, i, name)
    {
        const char *s = json_string_value(name);
        if (!s || strchr(s, '.')) {
            continue;
        }
        bool is_last = ++column % 3 == 0;
        buf_addf(&out->text, is_last ? "%s\n" : "%-26s ", s);
    }
    buf_addstr(&out->text, column % 3 ? "\n" : "");
    out_flush(out, NULL);
}

static void print_schema(struct prompt *p, const char *name)
{
    struct out *out = &p->cli->out;
    size_t n = 0;
    const char *definition = *name ? sqltext_definition(schema_text(), name, &n) : schema_text();
    if (!definition) {
        cli_note(p->cli, "there is no table or view '%s'; .tables lists them", name);
        return;
    }
    buf_add(&out->text, definition, *name ? n : strlen(definition));
    buf_addstr(&out->text, "\n");
    out_flush(out, NULL);
}

static void dot_command(struct prompt *p, char *line)
{
    size_t n = strcspn(line, " \t\r\n;");
    char *operand = line + n + strspn(line + n, " \t\r\n;");
    operand[strcspn(operand, " \t\r\n;")] = '\0';
    line[n] = '\0';
    if (strcmp(line, ".quit") == 0 || strcmp(line, ".exit") == 0) {
        p->is_done = true;
    } else if (strcmp(line, ".tables") == 0) {
        print_tables(p);
    } else if (strcmp(line, ".schema") == 0) {
        print_schema(p, operand);
    } else {
        buf_addstr(&p->cli->out.text,
                   "A statement ends with ';' and may span lines; Tab completes names; Ctrl-C "
                   "cancels.\n"
                   ".schema [NAME]  what the tables and views hold\n"
                   ".tables         their names\n"
                   ".quit           leave\n");
        out_flush(&p->cli->out, NULL);
    }
}

static struct prompt *prompt_of(EditLine *editor)
{
    void *p = NULL;
    el_get(editor, EL_CLIENTDATA, &p);
    return p;
}

static char *prompt_text(EditLine *editor)
{
    static char first[] = "stax> ";
    static char more[] = "  ... ";
    return prompt_of(editor)->pending.len ? more : first;
}

static unsigned char on_cancel(EditLine *editor, int ch)
{
    (void)ch;
    const LineInfo *line = el_line(editor);
    struct prompt *p = prompt_of(editor);
    el_cursor(editor, (int)(line->lastchar - line->cursor));
    line = el_line(editor);
    el_deletestr(editor, (int)(line->cursor - line->buffer));
    buf_clear(&p->pending);
    fputs("^C\n", stdout);
    return CC_REDISPLAY;
}

static void print_words(struct prompt *p, const json_t *words)
{
    struct buf b = {0};
    size_t i;
    const json_t *word;
    buf_addch(&b, '\n');
    json_array_foreach(words, i, word)
    {
        if (i == MAX_SHOWN_WORDS) {
            buf_addstr(&b, "...");
            break;
        }
        text_clean(&b, json_string_value(word), json_string_length(word));
        buf_addstr(&b, "  ");
    }
    buf_addch(&b, '\n');
    (void)fd_write_all(p->cli->out.fd, buf_str(&b), b.len);
    buf_free(&b);
}

static unsigned char on_complete(EditLine *editor, int ch)
{
    (void)ch;
    struct prompt *p = prompt_of(editor);
    const LineInfo *line = el_line(editor);
    size_t n = complete_word_length(line->buffer, (size_t)(line->cursor - line->buffer));
    json_t *words = complete_words(p->names, line->cursor - n, n);
    unsigned char rc = CC_ERROR;
    struct buf common = {0};
    complete_common(words, &common);
    if (common.len > n) {
        el_deletestr(editor, (int)n);
        el_insertstr(editor, buf_str(&common));
        rc = CC_REFRESH;
    } else if (json_array_size(words) > 1) {
        print_words(p, words);
        rc = CC_REDISPLAY;
    }
    buf_free(&common);
    json_decref(words);
    return rc;
}

static void find_history(struct buf *path)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    if (state && *state == '/') {
        buf_addstr(path, state);
    } else if (home && *home == '/') {
        buf_addf(path, "%s/.local/state", home);
    } else {
        return;
    }
    buf_addstr(path, "/stax");
    for (size_t i = 1; i <= path->len; i++) {
        if (path->data[i] == '/' || i == path->len) {
            char kept = path->data[i];
            path->data[i] = '\0';
            mkdir(path->data, 0700);
            path->data[i] = kept;
        }
    }
    buf_addstr(path, "/sql_history");
}

static int open_editor(struct prompt *p, struct err *e)
{
    HistEvent event;
    p->editor = el_init("stax", stdin, stdout, stderr);
    p->history = history_init();
    if (!p->editor || !p->history) {
        return err_set(e, STAX_EFAIL, "the terminal cannot be used for editing");
    }
    el_set(p->editor, EL_CLIENTDATA, p);
    el_set(p->editor, EL_PROMPT, prompt_text);
    el_set(p->editor, EL_EDITOR, "emacs");
    el_set(p->editor, EL_HIST, history, p->history);
    el_set(p->editor, EL_ADDFN, "stax-complete", "complete a name", on_complete);
    el_set(p->editor, EL_ADDFN, "stax-cancel", "drop what was typed", on_cancel);
    el_set(p->editor, EL_BIND, "^I", "stax-complete", NULL);
    /* Ctrl-C comes as a key while editing; SIGINT is blocked and only read while a query runs. */
    el_set(p->editor, EL_SETTY, "-d", "-isig", NULL);
    el_set(p->editor, EL_BIND, "^C", "stax-cancel", NULL);
    el_set(p->editor, EL_BIND, "^R", "em-inc-search-prev", NULL);
    history(p->history, &event, H_SETSIZE, HISTORY_LINES);
    history(p->history, &event, H_SETUNIQUE, 1);
    find_history(&p->history_file);
    if (p->history_file.len) {
        history(p->history, &event, H_LOAD, buf_str(&p->history_file));
    }
    return 0;
}

static int open_prompt(struct prompt *p, const char *path, bool is_foreign, struct err *e)
{
    sigset_t interrupt;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    sigprocmask(SIG_BLOCK, &interrupt, NULL);
    p->signals = signalfd(-1, &interrupt, SFD_CLOEXEC | SFD_NONBLOCK);
    if (p->signals < 0) {
        return err_set_errno(e, errno, "signalfd");
    }
    int rc = sandbox_open(&p->sandbox, path, is_foreign, e);
    if (rc) {
        return rc;
    }
    p->names = sandbox_names(p->sandbox);
    return open_editor(p, e);
}

static void close_prompt(struct prompt *p)
{
    HistEvent event;
    if (p->history && p->history_file.len) {
        mode_t old = umask(077);
        history(p->history, &event, H_SAVE, buf_str(&p->history_file));
        umask(old);
    }
    if (p->editor) {
        el_end(p->editor);
    }
    if (p->history) {
        history_end(p->history);
    }
    buf_free(&p->history_file);
    buf_free(&p->pending);
    json_decref(p->names);
    sandbox_close(p->sandbox);
    fd_close(&p->signals);
}

/* Answers every complete statement of what was typed so far. */
static void take_line(struct prompt *p, const char *line, size_t n_line)
{
    HistEvent event;
    if (!p->pending.len && line[0] == '.') {
        char *copy = strndup(line, n_line);
        history(p->history, &event, H_ENTER, line);
        if (copy) {
            dot_command(p, copy);
        }
        free(copy);
        return;
    }
    buf_add(&p->pending, line, n_line);
    for (size_t n; (n = sqltext_statement(buf_str(&p->pending))) > 0;) {
        struct buf statement = {0}, rest = {0};
        buf_add(&statement, p->pending.data, n);
        buf_addstr(&rest, p->pending.data + n);
        buf_free(&p->pending);
        p->pending = rest;
        if (!sqltext_is_empty(buf_str(&statement))) {
            for (char *c = statement.data; *c; c++) {
                *c = *c == '\n' && !strstr(statement.data, "--") ? ' ' : *c;
            }
            history(p->history, &event, H_ENTER, buf_str(&statement));
            answer(p, buf_str(&statement));
        }
        buf_free(&statement);
    }
    if (sqltext_is_empty(buf_str(&p->pending))) {
        buf_clear(&p->pending);
    }
}

int prompt_run(struct cli *cli, const char *path, bool is_foreign,
               const struct sandbox_limits *limits)
{
    struct err e = {0};
    struct prompt p = {.cli = cli, .limits = limits, .signals = -1};
    if (open_prompt(&p, path, is_foreign, &e)) {
        close_prompt(&p);
        return cli_fail(cli, &e);
    }
    cli_note(cli, "%s, read-only; .help explains, .quit leaves", path);
    while (!p.is_done) {
        int n = 0;
        el_resize(p.editor);
        const char *line = el_gets(p.editor, &n);
        if (!line || n <= 0) {
            break;
        }
        take_line(&p, line, (size_t)n);
        out_fini(&cli->out);
        out_init(&cli->out, cli->out.fd); /* the window may have changed */
    }
    if (!p.is_done) {
        buf_addch(&cli->out.text, '\n');
        out_flush(&cli->out, NULL);
    }
    close_prompt(&p);
    return EXIT_DONE;
}
