/* cmd_record.c - stax record: starts a run and stays with it until it ends. The run itself is the
 * server's; killing this program does not end it. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/ask.h"
#include "cli/autostart.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/launch.h"
#include "cli/progress.h"
#include "cli/render.h"

enum {
    SHOWN_POLL_MS = 250,  /* between two looks at the run, with a progress line */
    HIDDEN_POLL_MS = 500, /* ... without one */
    FIRST_POLL_MS = 10,   /* ... after the target ended, growing */
    INTERRUPT_MS = 500,   /* for the target to end after Ctrl-C, which reaches it too */
    LINGER_MS = 500,      /* after the command ended, until descendants that go on are told of */
    STOP_TIMEOUT_MS = 60000,
};

static const struct flag flags[] = {
    {.name = "pid",
     .letter = 'p',
     .type = FLAG_INT,
     .value = "PID",
     .help = "Attach to this process instead of starting a command.",
     .min = 1,
     .max = INT32_MAX},
    {.name = "frequency",
     .letter = 'F',
     .type = FLAG_INT,
     .value = "HZ",
     .help = "Samples per second of CPU time; default 900.",
     .min = 1,
     .max = INT64_MAX},
    {.name = "counters",
     .letter = 'e',
     .type = FLAG_TEXT,
     .value = "LIST",
     .help = "Events to count, up to four as perf list names them: cycles, LLC-load-misses, "
             "page-faults, r1a8, sched:sched_switch; :u and :k after a name count in user code or "
             "the kernel only. Default: cycles, instructions, L1-dcache-load-misses and "
             "branch-misses where the CPU can; none counts nothing."},
    {.name = "time-limit",
     .letter = 'l',
     .type = FLAG_SECONDS,
     .value = "SECS",
     .help = "Stop recording after this long; the program keeps running."},
    {.name = "no-children",
     .type = FLAG_BOOL,
     .help = "Leave out the processes that the program starts."},
    {.name = "no-dwarf-unwind",
     .type = FLAG_BOOL,
     .help = "Take stacks as the kernel finds them by frame pointers, instead of unwinding a copy "
             "of each; STAX_DWARF_UNWIND=0 does the same."},
    {.name = "no-kernel",
     .type = FLAG_BOOL,
     .help = "Leave the kernel's part out of stacks; its time then stands at the code that called "
             "it."},
    {.name = "daemon-socket",
     .type = FLAG_TEXT,
     .may_be_empty = true,
     .value = "PATH",
     .help = "The socket of staxd, which opens what this host withholds from users; default "
             "/run/staxd.sock, or STAX_DAEMON_SOCKET. Empty: do without."},
    {.name = "no-autostart",
     .type = FLAG_BOOL,
     .help = "Fail when no stax-server answers instead of starting one; STAX_NO_AUTOSTART=1 does "
             "the same."},
    {0},
};

struct record {
    struct cli *cli;
    const struct args *args;
    struct client *client;
    struct launch launch; /* pid 0: attached */
    sigset_t old_mask;
    int signals;      /* signalfd */
    int64_t run;      /* id */
    int64_t ended_ns; /* CLOCK_MONOTONIC, when the command was seen to have ended; 0: it has not */
    bool has_told_rest;
    bool is_interrupted;
    bool cannot_run; /* the command, as in a shell: exit code 127 or 126 */
    struct progress progress;
};

static int check_target(struct record *r, struct err *e)
{
    const struct args *args = r->args;
    bool has_pid = args_has(args, "pid");
    if (has_pid == (args->target != NULL)) {
        err_set(e, STAX_EUSAGE,
                has_pid ? "stax record takes a command or --pid, not both"
                        : "stax record wants a command or --pid");
        err_hint(e, "stax record -- COMMAND, or stax record --pid PID");
        return STAX_EUSAGE;
    }
    if (args_has(args, "time-limit") && args_int(args, "time-limit", 0) == 0) {
        return err_set(e, STAX_EUSAGE, "--time-limit must be more than 0 seconds");
    }
    if (!args->target) {
        return 0;
    }
    struct buf path = {0};
    int rc = launch_find(args->target[0], &path, e);
    r->cannot_run = rc != 0;
    buf_free(&path);
    return rc;
}

static int open_signals(struct record *r, struct err *e)
{
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGCHLD);
    sigaddset(&wanted, SIGTSTP);
    sigprocmask(SIG_BLOCK, &wanted, &r->old_mask);
    r->signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    return r->signals < 0 ? err_set_errno(e, errno, "signalfd") : 0;
}

static bool unwinds(const struct record *r)
{
    const char *text = getenv("STAX_DWARF_UNWIND");
    return !args_has(r->args, "no-dwarf-unwind") && !(text && strcmp(text, "0") == 0);
}

static json_t *start_parameters(const struct record *r)
{
    const struct args *args = r->args;
    struct buf command = {0};
    for (char **word = args->target; word && *word; word++) {
        buf_addstr(&command, word == args->target ? "" : " ");
        buf_addstr(&command, *word);
    }
    json_t *p = json_object();
    int64_t hz = args_int(args, "frequency", 900);
    int64_t pid = r->launch.pid ? r->launch.pid : args_int(args, "pid", 0);
    json_object_set_new(p, "pid", json_integer(pid));
    json_object_set_new(p, "is_launched", json_boolean(r->launch.pid != 0));
    json_object_set_new(p, "with_children", json_boolean(!args_has(args, "no-children")));
    json_object_set_new(p, "dwarf_unwind", json_boolean(unwinds(r)));
    json_object_set_new(p, "kernel", json_boolean(!args_has(args, "no-kernel")));
    ask_add_daemon_socket(args, p);
    json_object_set_new(p, "frequency_hz", json_integer(hz));
    if (args_has(args, "counters")) {
        json_object_set_new(p, "counters", json_clean_string(args_text(args, "counters", "")));
    }
    if (args_has(args, "time-limit")) {
        json_object_set_new(p, "time_limit_s", json_real(args_get(args, "time-limit")->number));
    }
    if (command.len) {
        json_object_set_new(p, "command", json_clean_string(buf_str(&command)));
    }
    buf_free(&command);
    return p;
}

/* One line for all that the host withholds; what the user turned off is no news. */
static void note_missing(struct record *r, const json_t *abilities)
{
    struct buf lacks[2] = {{0}, {0}}; /* what can be unlocked, and what this host does not have */
    size_t i;
    const json_t *item;
    json_array_foreach(abilities, i, item)
    {
        bool is_missing = json_is_false(json_object_get(item, "is_available"));
        if (is_missing && strncmp(json_text_at(item, "reason", ""), "turned off", 10) != 0) {
            struct buf *names = &lacks[*json_text_at(item, "unlock", "") ? 0 : 1];
            buf_addstr(names, names->len ? ", " : "");
            for (const char *c = json_text_at(item, "name", "?"); *c; c++) {
                buf_addch(names, *c == '_' ? ' ' : *c);
            }
        }
    }
    if (lacks[0].len) {
        cli_note(r->cli, "missing: %s; see stax diagnose host%s%s", buf_str(&lacks[0]),
                 lacks[1].len ? "; not on this host: " : "", buf_str(&lacks[1]));
    } else if (lacks[1].len) {
        cli_note(r->cli, "not on this host: %s", buf_str(&lacks[1]));
    }
    buf_free(&lacks[0]);
    buf_free(&lacks[1]);
}

static void note_start(struct record *r, const json_t *document)
{
    const json_t *data = json_object_get(document, "data");
    size_t i;
    const json_t *item;
    r->run = json_int_at(data, "run", 0);
    cli_note(r->cli, "recording run %" PRId64 " (pid %d)", r->run,
             r->launch.pid ? (int)r->launch.pid : (int)args_int(r->args, "pid", 0));
    json_array_foreach(json_object_get(data, "notes"), i, item)
    {
        if (json_is_string(item)) {
            cli_note(r->cli, "%s", json_string_value(item));
        }
    }
    note_missing(r, json_object_get(data, "abilities"));
}

/* Commands without --run ask this run from now on, also when an older one was selected. */
static void select_run(struct record *r)
{
    struct err ignored;
    json_t *parameters = json_object();
    json_object_set_new(parameters, "run", json_integer(r->run));
    client_call(r->client, "select_run", parameters, STOP_TIMEOUT_MS, NULL, &ignored);
}

/* The server reads the stacks of threads that wait. 0: it does not say who it is. */
static pid_t server_pid(struct record *r)
{
    json_t *document = NULL;
    struct err ignored;
    client_call(r->client, "status", NULL, STOP_TIMEOUT_MS, &document, &ignored);
    const json_t *server = json_object_get(json_object_get(document, "data"), "server");
    pid_t pid = (pid_t)json_int_at(server, "pid", 0);
    json_decref(document);
    return pid;
}

/* The command did not come to be: the run that was to record it holds nothing and goes. */
static void discard_run(struct record *r)
{
    static const char *const methods[] = {"stop_active", "remove_run"};
    struct err ignored;
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        json_t *parameters = json_object();
        json_object_set_new(parameters, "run", json_integer(r->run));
        client_call(r->client, methods[i], parameters, STOP_TIMEOUT_MS, NULL, &ignored);
    }
}

static int begin(struct record *r, struct err *e)
{
    json_t *document = NULL;
    int rc = check_target(r, e);
    if (rc == 0) {
        rc = client_open(&r->client, e);
    }
    if (rc == 0) {
        rc = autostart(r->cli, r->client, !args_has(r->args, "no-autostart"), e);
    }
    if (rc == 0) {
        rc = open_signals(r, e);
    }
    if (rc == 0 && r->args->target) {
        rc = launch_hold(&r->launch, r->args->target, &r->old_mask, server_pid(r), e);
    }
    if (rc == 0) {
        rc = client_call(r->client, "start_attach", start_parameters(r), CLIENT_PATIENT, &document,
                         e);
    }
    if (rc) {
        launch_abort(&r->launch);
    } else {
        note_start(r, document);
    }
    json_decref(document);
    if (rc == 0) {
        progress_open(&r->progress, &r->cli->err);
    }
    if (rc == 0 && r->args->target) {
        rc = launch_release(&r->launch, r->args->target[0], e);
        r->cannot_run = rc != 0;
        if (rc) {
            discard_run(r);
        }
    }
    if (rc == 0) {
        select_run(r);
    }
    return rc;
}

/* The command has ended and the run has not: says why record stays, once. */
static void tell_rest(struct record *r, const json_t *active)
{
    int64_t now = clock_monotonic_ns(), n = json_int_at(active, "n_processes", 0);
    if (!r->ended_ns) {
        r->ended_ns = now;
    }
    if (r->has_told_rest || n < 1 || now - r->ended_ns < LINGER_MS * 1000000LL) {
        return;
    }
    r->has_told_rest = true;
    progress_clear(&r->progress, &r->cli->err);
    cli_note(r->cli,
             "the command ended with %d; still recording %" PRId64
             " descendant%s; Ctrl-C or stax stop ends that",
             launch_exit_code(&r->launch), n, n == 1 ? "" : "s");
    progress_settle(&r->progress);
}

/* Whether the run still records; its summary goes to the progress line. */
static int look(struct record *r, bool *is_active, struct err *e)
{
    json_t *document = NULL;
    int rc = client_call(r->client, "status", NULL, STOP_TIMEOUT_MS, &document, e);
    const json_t *active = json_object_get(json_object_get(document, "data"), "active");
    *is_active = rc == 0 && json_int_at(active, "id", 0) == r->run;
    if (*is_active && r->launch.is_ended) {
        tell_rest(r, active);
    }
    if (*is_active) {
        progress_show(&r->progress, &r->cli->err, active);
    }
    json_decref(document);
    return rc;
}

/* Ctrl-Z: as if we had not held the signal back, but with the terminal as it was. */
static void suspend(struct record *r)
{
    sigset_t stop;
    progress_clear(&r->progress, &r->cli->err);
    sigemptyset(&stop);
    sigaddset(&stop, SIGTSTP);
    raise(SIGTSTP);
    sigprocmask(SIG_UNBLOCK, &stop, NULL); /* here we stand until we are continued */
    sigprocmask(SIG_BLOCK, &stop, NULL);
}

static void take_signals(struct record *r)
{
    struct signalfd_siginfo info;
    while (read(r->signals, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGTSTP) {
            suspend(r);
        } else if (info.ssi_signo != SIGCHLD) {
            r->is_interrupted = true;
        }
    }
    launch_reap(&r->launch, false);
}

static void wait_signals(struct record *r, int timeout_ms)
{
    struct pollfd p[2] = {{.fd = r->signals, .events = POLLIN},
                          {.fd = progress_watch(&r->progress), .events = POLLIN}};
    poll(p, 2, timeout_ms);
    progress_check(&r->progress, &r->cli->err);
    take_signals(r);
}

/* Until the run has ended, or Ctrl-C ends it. */
static int stay(struct record *r, struct err *e)
{
    int after_end_ms = FIRST_POLL_MS;
    bool is_active = true;
    int rc = 0;
    while (rc == 0 && is_active && !r->is_interrupted) {
        int timeout_ms =
            progress_is_shown(&r->progress, &r->cli->err) ? SHOWN_POLL_MS : HIDDEN_POLL_MS;
        if (r->launch.is_ended && after_end_ms < timeout_ms) {
            timeout_ms = after_end_ms;
            after_end_ms *= 2;
        }
        wait_signals(r, timeout_ms);
        if (!r->is_interrupted) {
            rc = look(r, &is_active, e);
        }
    }
    progress_clear(&r->progress, &r->cli->err);
    if (rc == 0 && r->is_interrupted) {
        json_t *parameters = json_object();
        json_object_set_new(parameters, "run", json_integer(r->run));
        rc = client_call(r->client, "stop_active", parameters, STOP_TIMEOUT_MS, NULL, e);
        /* It may have ended by itself at the same moment. */
        rc = rc == STAX_ENORUN ? 0 : rc;
        for (int ms = 0; ms < INTERRUPT_MS && r->launch.pid && !r->launch.is_ended; ms += 50) {
            wait_signals(r, 50);
        }
    }
    return rc;
}

/* The recording is lost, the target is not: its status is still passed through. */
static void wait_for_target(struct record *r)
{
    r->is_interrupted = false;
    while (r->launch.pid && !r->launch.is_ended && !r->is_interrupted) {
        wait_signals(r, -1);
    }
}

static json_t *target_json(const struct record *r)
{
    json_t *target = json_object();
    bool is_ended = r->launch.is_ended;
    int code = is_ended ? launch_exit_code(&r->launch) : 0;
    bool is_signal = is_ended && WIFSIGNALED(r->launch.status);
    int64_t pid = r->launch.pid ? r->launch.pid : args_int(r->args, "pid", 0);
    json_object_set_new(target, "pid", json_integer(pid));
    json_object_set_new(target, "is_launched", json_boolean(r->launch.pid != 0));
    json_object_set_new(target, "exit_status",
                        is_ended && !is_signal ? json_integer(code) : json_null());
    json_object_set_new(target, "signal", is_signal ? json_integer(code - 128) : json_null());
    return target;
}

static void render_record(struct out *out, const json_t *document, const struct args *args)
{
    (void)out, (void)document, (void)args;
}

/* What the server's list notes about the run. */
static void read_note(struct record *r, struct buf *note)
{
    json_t *document = NULL;
    struct err ignored;
    size_t i;
    const json_t *item;
    client_call(r->client, "list_runs", NULL, STOP_TIMEOUT_MS, &document, &ignored);
    json_array_foreach(json_object_get(json_object_get(document, "data"), "runs"), i, item)
    {
        if (json_int_at(item, "id", 0) == r->run) {
            buf_addstr(note, json_text_at(item, "note", ""));
        }
    }
    json_decref(document);
}

/* Whether storage ended the run early; what it failed with. */
static int check_whole(struct record *r, const json_t *run, struct err *e)
{
    const char *reason = json_text_at(run, "stop_reason", "");
    bool is_unended = strcmp(json_text_at(run, "state", ""), "recording") == 0;
    if (!is_unended && strcmp(reason, "storage_full") != 0 &&
        strcmp(reason, "capture_failed") != 0) {
        return 0;
    }
    struct buf note = {0};
    if (is_unended) { /* not even its end could be written */
        read_note(r, &note);
    }
    err_set(e, STAX_EFAIL, "the recording ended early: %.400s",
            note.len ? buf_str(&note) : json_text_at(run, "stop_detail", reason));
    err_hint(e, "what was recorded until then is kept; 'stax diagnose' says more");
    buf_free(&note);
    return STAX_EFAIL;
}

/* The end: what was recorded, on stderr; with --json the same as a document on stdout. *code is the
 * exit code of showing it. */
static int finish(struct record *r, int *code, struct err *e)
{
    json_t *document = NULL;
    json_t *parameters = json_object();
    json_object_set_new(parameters, "run", json_integer(r->run));
    json_object_set_new(parameters, "limit", json_integer(5));
    int rc = client_call(r->client, "top", parameters, STOP_TIMEOUT_MS, &document, e);
    if (rc) {
        return rc;
    }
    render_summary(&r->cli->err, document);
    out_flush(&r->cli->err, NULL);
    const json_t *run = json_object_get(document, "run");
    rc = check_whole(r, run, e);
    if (r->launch.pid && !r->launch.is_ended) {
        cli_note(r->cli, "the program keeps running (pid %d)", (int)r->launch.pid);
    }
    json_t *data = json_object();
    json_object_set(data, "run", json_object_get(run, "id"));
    json_object_set(data, "path", json_object_get(run, "path"));
    json_object_set_new(data, "target", target_json(r));
    json_object_set(data, "functions",
                    json_object_get(json_object_get(document, "data"), "functions"));
    json_object_set_new(document, "data", data);
    json_object_set_new(document, "schema", json_string("stax.record/1"));
    *code = cli_show(r->cli, r->args, document, render_record);
    return rc;
}

static int run(struct cli *cli, const struct args *args)
{
    struct err e = {0};
    struct record r = {.cli = cli, .args = args, .signals = -1};
    bool has_begun = begin(&r, &e) == 0;
    int rc = has_begun ? stay(&r, &e) : e.code;
    if (has_begun && rc == STAX_EUNREACHABLE) {
        err_set(&e, rc, "stax-server went away: the recording ended, the program goes on");
        err_hint(&e, "start 'stax-server' again; 'stax list' then shows what was recorded");
    }
    int code = EXIT_DONE;
    if (has_begun && rc == 0) {
        rc = finish(&r, &code, &e);
    }
    if (rc) {
        code = cli_fail(cli, &e);
    }
    if (r.cannot_run) {
        code = rc == STAX_ENOTFOUND ? 127 : 126;
    }
    if (has_begun && rc) {
        wait_for_target(&r);
        code = EXIT_FAILED;
    }
    if (has_begun && r.launch.is_ended && (rc == 0 || launch_exit_code(&r.launch) != 0)) {
        code = launch_exit_code(&r.launch);
    }
    progress_close(&r.progress);
    fd_close(&r.signals);
    client_close(r.client);
    return code;
}

const struct command command_record = {
    .name = "record",
    .summary = "record a command, or a process that runs",
    .operands = "[--] COMMAND [ARG]...",
    .description =
        "Records where a command burns its CPU time from its very first instruction, or a running "
        "process with --pid, together with the processes it starts. While it runs, ask with stax "
        "top, flame, threads and sql from another terminal.\n\n"
        "Ctrl-C stops the recording and keeps what was recorded. The run belongs to stax-server, "
        "which is started when none answers: it goes on when this command is killed, and stax stop "
        "ends it. A program whose recording is stopped or reaches its time limit keeps running.\n\n"
        "On a terminal that the program does not use, the last row shows how the recording goes. "
        "As soon as the program writes to that terminal or reads from it, the row is the program's "
        "again, until the terminal has been quiet for some seconds.\n\n"
        "The exit status is that of the command, or 128 plus the signal that ended it; 127 when "
        "there "
        "is no such command and 126 when it cannot be run. Where the command ended with 0 but not "
        "all of "
        "it could be recorded (storage gave up, or the server went away), it is 1. The summary "
        "at the end goes to stderr, so that the command's own output stays as it is.",
    .examples = "stax record -- make -j4\nstax record -F 2000 -l 10 --pid 4711\n"
                "stax record --counters page-faults,task-clock -- make -j4\n"
                "stax record ./server --port 8000 &\nstax top",
    .flags = flags,
    .max_operands = 0,
    .has_target = true,
    .run = run,
};
