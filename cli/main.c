/* main.c - stax, the command line. It holds no state: see commands.c for what there is. */
#include <locale.h>
#include <signal.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/commands.h"

int main(int argc, char **argv)
{
    struct cli cli = {0};
    /* For the editing of UTF-8 in stax sql; numbers stay as C prints them. */
    setlocale(LC_CTYPE, "");
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file at its limit (ulimit -f) is an error of the write */
    out_init(&cli.out, STDOUT_FILENO);
    out_init(&cli.err, STDERR_FILENO);
    int rc = commands_main(&cli, argc, argv);
    out_fini(&cli.out);
    out_fini(&cli.err);
    return rc;
}
