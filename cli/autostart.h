/* autostart.h - a stax-server of our own when none answers. One thread. */
#ifndef STAX_CLI_AUTOSTART_H
#define STAX_CLI_AUTOSTART_H

#include "cli/cli.h"
#include "cli/client.h"

/* Makes sure that a server of our version answers: starts stax-server (the one beside this program,
 * else the one in $PATH) in our session, which it outlives, without its terminal and with its
 * messages in a log file, and says so on stderr. is_allowed false or STAX_NO_AUTOSTART=1:
 * STAX_EUNREACHABLE instead.
 * Errors also: STAX_EVERSION, STAX_ENOTFOUND, and why the server did not start. */
int autostart(struct cli *cli, struct client *client, bool is_allowed, struct err *e);

/* The error of a server that ended with this wait status before it answered, from what it wrote:
 * its last message with the way out below it, and its own idea of permissions and usage. */
int autostart_error(const char *log, int status, struct err *e);

#endif
