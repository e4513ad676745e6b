/* man.c - the manual page, from the table of commands (help.h). */
#include "cli/commands.h"
#include "cli/help.h"

#include <string.h>

/* Text for roff: backslashes and leading dots and quotes are escaped, hyphens stay hyphens. */
static void add_roff(struct buf *b, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool is_start = i == 0 || s[i - 1] == '\n';
        if (is_start && (s[i] == '.' || s[i] == '\'')) {
            buf_addstr(b, "\\&");
        }
        if (s[i] == '\\') {
            buf_addstr(b, "\\e");
        } else if (s[i] == '-') {
            buf_addstr(b, "\\-");
        } else if (s[i] == '\'') {
            buf_addstr(b, "\\(aq");
        } else {
            buf_addch(b, s[i]);
        }
    }
}

static void add_flags(struct buf *b, const struct flag *flags)
{
    for (; flags && flags->name; flags++) {
        buf_addstr(b, ".TP\n");
        if (flags->letter) {
            buf_addf(b, "\\fB\\-%c\\fR, ", flags->letter);
        }
        buf_addstr(b, "\\fB\\-\\-");
        add_roff(b, flags->name, strlen(flags->name));
        buf_addstr(b, "\\fR");
        if (flags->value) {
            buf_addf(b, " \\fI%s\\fR", flags->value);
        }
        buf_addch(b, '\n');
        add_roff(b, flags->help, strlen(flags->help));
        buf_addch(b, '\n');
    }
}

static void add_command(struct buf *b, const struct command *c)
{
    buf_addf(b, ".SS stax %s", c->name);
    buf_addf(b, " [OPTIONS]%s", *c->operands ? " " : "");
    add_roff(b, c->operands, strlen(c->operands));
    buf_addch(b, '\n');
    for (const char *s = c->description; *s;) {
        const char *end = strstr(s, "\n\n");
        size_t n = end ? (size_t)(end - s) : strlen(s);
        add_roff(b, s, n);
        buf_addch(b, '\n');
        s += end ? n + 2 : n;
        buf_addstr(b, *s ? ".PP\n" : "");
    }
    add_flags(b, c->flags);
    add_flags(b, c->shared);
    buf_addstr(b, ".PP\n.nf\n.RS\n");
    add_roff(b, c->examples, strlen(c->examples));
    buf_addstr(b, "\n.RE\n.fi\n");
}

static const char man_end[] =
    ".SH OPTIONS OF EVERY COMMAND\n"
    ".TP\n\\fB\\-\\-json\\fR\nPrint one JSON document on standard output; errors become JSON on "
    "standard error. The members are schema, run, data, quality and warnings; stax schema COMMAND "
    "describes data.\n"
    ".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nExplain the command.\n"
    ".SH EXIT STATUS\n"
    ".TP\n0\nDone.\n.TP\n1\nFailed.\n.TP\n2\nWrong usage.\n.TP\n3\nNo server answers, or there is "
    "no such run.\n.TP\n4\nTimed out.\n.TP\n5\nThe host's permissions forbid it.\n"
    ".PP\nstax record passes the status of the program it started through instead: its exit "
    "status, or 128 plus the number of the signal that ended it.\n"
    ".SH ENVIRONMENT\n"
    ".TP\nSTAX_SERVER_SOCKET\nThe server's Unix socket; default "
    "$XDG_RUNTIME_DIR/stax\\-server.sock, else /tmp/stax\\-server\\-UID.sock.\n"
    ".TP\nSTAX_DEBUG_DIRS\nOf stax-server: where separate debug files are looked for, separated by "
    "colons; default /usr/lib/debug.\n"
    ".TP\nDEBUGINFOD_URLS\nOf stax-server: debuginfod servers to ask for debug files; default: "
    "what the files /etc/debuginfod/*.urls name.\n"
    ".TP\nSTAX_DATA_DIR\nWhere runs are kept; default /dev/shm/stax\\-UID.\n"
    ".TP\nSTAX_NO_AUTOSTART\nWhen 1, stax record never starts a server.\n"
    ".TP\nNO_COLOR, COLUMNS\nNo colours; the width of text output.\n"
    ".TP\nXDG_STATE_HOME\nWhere the history of stax sql is kept; default ~/.local/state.\n"
    ".SH SEE ALSO\n.BR stax\\-server (1),\n.BR sqlite3 (1),\n.BR perf (1)\n";

void help_man(struct out *out)
{
    struct buf *b = &out->text;
    buf_addstr(
        b, ".TH STAX 1 \"\" \"stax " STAX_VERSION "\" \"User Commands\"\n"
           ".SH NAME\nstax \\- see where a running program spends its CPU time, and why it waits\n"
           ".SH SYNOPSIS\n.B stax\nCOMMAND [OPTIONS]\n"
           ".SH DESCRIPTION\n"
           "stax records where the threads of a program burn CPU time and answers questions "
           "about it while it runs: as tables, as a call tree, as JSON and in SQL. A run is "
           "one SQLite file, kept by\n.BR stax\\-server (1).\n"
           ".SH COMMANDS\n");
    for (const struct command *const *c = commands_all(); *c; c++) {
        add_command(b, *c);
    }
    buf_addstr(b, man_end);
}
