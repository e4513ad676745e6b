/* method_table.c - the methods that are not views; see method.h. */
#include <stddef.h>
#include <stdint.h>

#include "server/handlers.h"
#include "server/method.h"

#define RUN_PARAMETER                                                                              \
    {                                                                                              \
        .name = "run", .type = "integer", .unit = "",                                              \
        .help =                                                                                    \
            "number of the run; without it the active, else the selected, else the newest one",    \
        .min = 1, .max = INT64_MAX                                                                 \
    }
#define ACTIVE_RUN_PARAMETER                                                                       \
    {                                                                                              \
        .name = "run", .type = "integer", .unit = "",                                              \
        .help = "number of the run, which must be the active one", .min = 1, .max = INT64_MAX      \
    }

#define DAEMON_SOCKET_PARAMETER                                                                    \
    {                                                                                              \
        .name = "daemon_socket", .type = "string", .unit = "",                                     \
        .help = "socket of staxd, asked for what the host withholds from this user; default "      \
                "/run/staxd.sock, empty: nobody is asked"                                          \
    }

static const struct parameter no_parameters[] = {{.name = NULL}};

static const struct parameter run_only[] = {RUN_PARAMETER, {.name = NULL}};

static const struct parameter active_run_only[] = {ACTIVE_RUN_PARAMETER, {.name = NULL}};

static const struct parameter start_parameters[] = {
    {"pid", "integer", "", "process to record", true, 1, INT32_MAX},
    {"is_launched", "boolean", "",
     "the process is a held child that will exec; recording begins with its exec", false, 0, 0},
    {"with_children", "boolean", "", "record its descendants too; default true", false, 0, 0},
    {"dwarf_unwind", "boolean", "",
     "unwind user stacks by DWARF CFI instead of frame pointers; default true", false, 0, 0},
    {"kernel", "boolean", "",
     "record the kernel's part of stacks; default true. Without it its time stands at user code",
     false, 0, 0},
    DAEMON_SOCKET_PARAMETER,
    {"frequency_hz", "integer", "Hz", "samples per second of CPU time; default 900", false, 1,
     INT64_MAX},
    {"time_limit_s", "number", "s", "end of the recording; default 0, none", false, 0, 0},
    {"counters", "string", "",
     "events to count, up to four names separated by commas as perf list has them, or none; "
     "default cycles, instructions, L1-dcache-load-misses and branch-misses, where the CPU can",
     false, 0, 0},
    {"command", "string", "", "command line to show; default: the one of the process", false, 0, 0},
    {.name = NULL},
};

static const struct parameter host_parameters[] = {DAEMON_SOCKET_PARAMETER, {.name = NULL}};

static const struct parameter wait_parameters[] = {
    {"for_samples", "integer", "", "until the run has this many samples", false, 0, INT64_MAX},
    {"for_ns", "integer", "ns", "until the run has lasted this long", false, 0, INT64_MAX},
    {"until_symbol", "string", "",
     "until a function whose name contains this was sampled, upper or lower case", false, 0, 0},
    {"sql", "string", "", "until the first value of this query is neither 0, empty nor NULL", false,
     0, 0},
    {"timeout_ms", "integer", "ms", "give up after this long, 0: after one look; default: never",
     false, 0, INT32_MAX},
    {.name = NULL},
};

static const struct parameter save_parameters[] = {
    RUN_PARAMETER,
    {"path", "string", "", "absolute path of the archive to write", true, 0, 0},
    {"is_overwrite", "boolean", "", "replace a file that is there; default false", false, 0, 0},
    {"with_source", "boolean", "",
     "put in the text of the source lines of functions with samples; default true", false, 0, 0},
    {.name = NULL},
};

static const struct parameter symbolize_parameters[] = {
    RUN_PARAMETER,
    {"timeout_ms", "integer", "ms", "look this long, debuginfod servers included; default 60000",
     false, 1, 3600000},
    {.name = NULL},
};

static const struct parameter open_parameters[] = {
    {"path", "string", "", "absolute path of an archive", true, 0, 0},
    {.name = NULL},
};

static const struct parameter select_parameters[] = {
    {"run", "integer", "", "number of the run that views without one shall answer from", true, 1,
     INT64_MAX},
    {.name = NULL},
};

static const struct parameter remove_parameters[] = {
    {"run", "integer", "", "number of a run that has stopped", true, 1, INT64_MAX},
    {.name = NULL},
};

static const struct parameter pause_parameters[] = {
    ACTIVE_RUN_PARAMETER,
    {"is_paused", "boolean", "", "true stops sampling, false resumes it; default true", false, 0,
     0},
    {.name = NULL},
};

static const struct parameter sql_parameters[] = {
    RUN_PARAMETER,
    {"query", "string", "", "one SELECT statement", true, 0, 0},
    {"max_rows", "integer", "", "result rows kept; default 10000", false, 1, 1000000},
    {"max_bytes", "integer", "bytes", "result bytes kept; default 16777216", false, 1, 1 << 26},
    {"timeout_ms", "integer", "ms", "time it may take; default 10000", false, 1, 60000},
    {.name = NULL},
};

static const struct parameter compare_parameters[] = {
    {"a", "integer", "", "number of the run that is compared with", true, 1, INT64_MAX},
    {"b", "integer", "", "number of the run that is compared", true, 1, INT64_MAX},
    {"by", "string", "", "\"time\" (default), \"rate\" per second of the run or \"share\" of it",
     false, 0, 0},
    {"sort", "string", "", "\"self\" (default) or \"total\"", false, 0, 0},
    {"limit", "integer", "", "rows of each list, 0 for all; default 20", false, 0, 100000},
    {"confidence_pct", "number", "%", "of all intervals together; default 99", false, 0, 0},
    {"fail_if", "string", "",
     "conditions joined by or, such as \"on_cpu > +10% or self(parse) > +5ms\"", false, 0, 0},
    {"from_ns", "integer", "ns", "only from this time after the start of each run", false, 0,
     1000000000000000000},
    {"to_ns", "integer", "ns", "only before this time after the start of each run", false, 1,
     1000000000000000000},
    {"exclude", "string[]", "", "leave out samples with one of these functions on the stack", false,
     0, 0},
    {.name = NULL},
};

static const struct parameter subscribe_parameters[] = {
    {"view", "string", "", "name of a view method, such as top", true, 0, 0},
    {"parameters", "object", "", "parameters of that view", false, 0, 0},
    {.name = NULL},
};

static const struct parameter unsubscribe_parameters[] = {
    {"subscription", "integer", "", "number that subscribe answered with", true, 1, INT64_MAX},
    {.name = NULL},
};

const struct method method_table[] = {
    {.name = "status",
     .schema = "stax.status/1",
     .help = "What the server is doing: its addresses, and the active run.",
     .result =
         "{\"server\": {version, pid, uptime_ns, socket, http, http_note, data_dir, is_tmpfs, "
         "used_bytes, max_bytes, n_removed}, \"active\": null or the summary of the run, "
         "\"selected\": null or its number}",
     .example = "{}",
     .parameters = no_parameters,
     .handler = method_status,
     .is_control = true},
    {.name = "list_runs",
     .schema = "stax.list/1",
     .help = "Every run there is, newest first.",
     .result = "{\"runs\": [{id, state, stop_reason, command, pid, start_wall_ns, elapsed_ns, "
               "n_samples, on_cpu_ns, n_lost, size_bytes, path, is_archive, is_active, "
               "is_selected, names: \"pending\", \"complete\" or \"incomplete\", note}]}",
     .example = "{}",
     .parameters = no_parameters,
     .handler = method_list_runs,
     .is_control = true},
    {.name = "start_attach",
     .schema = "stax.start/1",
     .help = "Begins to record a process; there is one active run at a time.",
     .result = "{run, path, abilities: [{name, is_available, reason, unlock}], ring_bytes, "
               "notes: [text]}",
     .example = "{\"pid\": 1234, \"frequency_hz\": 900}",
     .parameters = start_parameters,
     .handler = method_start_attach,
     .is_control = true},
    {.name = "wait_active",
     .schema = "stax.wait/1",
     .help =
         "Answers when a condition on the active run holds (at most one), or the run has ended.",
     .result = "{is_met, reason: samples, seconds, symbol, sql or stopped, n_samples, elapsed_ns}",
     .example = "{\"for_samples\": 50, \"timeout_ms\": 10000}",
     .parameters = wait_parameters,
     .handler = method_wait_active,
     .is_control = true},
    {.name = "diagnostics",
     .schema = "stax.diagnose/1",
     .help = "How well a run is recorded: loss, queues, commits, sizes, own cost, unnamed code.",
     .result =
         "{capture, ingest, queue, database, process, loss, stacks, unresolved, abilities, saves, "
         "debuginfod}; "
         "capture, ingest and queue are null unless the run is active",
     .example = "{}",
     .parameters = run_only,
     .handler = method_diagnostics,
     .lane = LANE_VIEW,
     .is_control = true},
    {.name = "diagnose_host",
     .schema = "stax.diagnose-host/1",
     .help = "What this host lets a run record, found by trying, and the settings in the way.",
     .result = "{kernel, uid, n_cpus, abilities: [{name, is_available, reason, unlock}], checks: "
               "[{name, value, is_ok, note, unlock}]}",
     .example = "{}",
     .parameters = host_parameters,
     .handler = method_diagnose_host,
     .lane = LANE_VIEW,
     .is_control = true},
    {.name = "is_paused",
     .schema = "stax.paused/1",
     .help = "Whether sampling of the active run is paused.",
     .result = "{is_paused}",
     .example = "{}",
     .parameters = active_run_only,
     .handler = method_is_paused},
    {.name = "set_paused",
     .schema = "stax.paused/1",
     .help = "Pauses or resumes sampling of the active run; what is known of its threads goes on.",
     .result = "{is_paused}",
     .example = "{\"is_paused\": false}",
     .parameters = pause_parameters,
     .handler = method_set_paused},
    {.name = "stop_active",
     .schema = "stax.stop/1",
     .help = "Ends the active run and answers when all of it is written. The target goes on.",
     .result = "the final summary: the members of \"run\"",
     .example = "{}",
     .parameters = active_run_only,
     .handler = method_stop_active,
     .is_control = true},
    {.name = "save_current",
     .schema = "stax.save/1",
     .help = "Writes a run to a self-contained archive, atomically. It may still be recording.",
     .result = "{run, path, size_bytes, n_samples, n_functions, code_bytes, n_source_lines, "
               "source_bytes, elapsed_ms}; n_functions: with machine code in it",
     .example = "{\"path\": \"/tmp/stax-rpc-example.stax\", \"is_overwrite\": true}",
     .parameters = save_parameters,
     .handler = method_save_current,
     .lane = LANE_FILE,
     .is_control = true},
    {.name = "symbolize",
     .schema = "stax.symbolize/1",
     .help =
         "Looks for the names of a run once more, with what this machine has now. An active run "
         "does it by itself: is_live, and run.n_renames counts on. An archive is replaced.",
     .result = "{is_live, is_complete, n_binaries, n_missing, n_symbols_named, n_frames, n_lines, "
               "n_code, elapsed_ms}",
     .example = "{}",
     .parameters = symbolize_parameters,
     .handler = method_symbolize,
     .lane = LANE_FILE,
     .is_control = true},
    {.name = "open_saved",
     .schema = "stax.open/1",
     .help = "Checks an archive, adds it to the runs and selects it.",
     .result = "{run, path}",
     .example = "{\"path\": \"/tmp/stax-rpc-example.stax\"}",
     .parameters = open_parameters,
     .handler = method_open_saved,
     .lane = LANE_FILE,
     .is_control = true},
    {.name = "select_run",
     .schema = "stax.select-run/1",
     .help = "Makes a run the one that views answer from while none is active.",
     .result = "{run}",
     .example = "{\"run\": 1}",
     .parameters = select_parameters,
     .handler = method_select_run,
     .is_control = true},
    {.name = "remove_run",
     .schema = "stax.remove-run/1",
     .help = "Removes a run that has stopped, with its file; of an opened archive only the entry.",
     .result = "{run}",
     .example = "{\"run\": 1}",
     .parameters = remove_parameters,
     .handler = method_remove_run,
     .is_control = true},
    {.name = "sql",
     .schema = "stax.sql/1",
     .help = "Runs one SELECT on a run, in a sandbox with bounds on time, rows and bytes.",
     .result = "{columns, rows, n_rows, is_truncated, limit, elapsed_ms}",
     .example = "{\"query\": \"SELECT count(*) AS n FROM sample\"}",
     .parameters = sql_parameters,
     .handler = method_sql,
     .lane = LANE_SQL},
    {.name = "compare",
     .schema = "stax.compare/1",
     .help = "What changed from one run to another: functions, threads and waits, with intervals.",
     .result =
         "{a, b: {run, elapsed_ns, n_samples, ...}, totals, functions: [{name, binary, "
         "status, self, total}], threads, reasons, waits, fail_if}; 'stax schema compare' has "
         "it all",
     .example = "{\"a\": 1, \"b\": 1, \"limit\": 3}",
     .parameters = compare_parameters,
     .handler = method_compare,
     .lane = LANE_VIEW},
    {.name = "subscribe",
     .schema = "stax.subscribe/1",
     .help = "Pushes a view whenever its data changed, at most four times a second.",
     .result = "{subscription}; updates arrive as {\"jsonrpc\": \"2.0\", \"method\": \"update\", "
               "\"params\": {subscription, result}}",
     .example = "{\"view\": \"top\", \"parameters\": {\"limit\": 5}}",
     .parameters = subscribe_parameters,
     .handler = method_subscribe,
     .is_ws_only = true},
    {.name = "unsubscribe",
     .schema = "stax.subscribe/1",
     .help = "Ends a subscription of this connection.",
     .result = "{subscription}",
     .example = "{\"subscription\": 1}",
     .parameters = unsubscribe_parameters,
     .handler = method_unsubscribe,
     .is_ws_only = true},
    {.name = NULL},
};
