/*
 * handlers.h - the functions behind the methods; each follows method_handler (method.h).
 * handlers_run.c: the life of runs. handlers_view.c: what they answer. handlers_compare.c: two of
 * them. handlers_host.c: the host.
 */
#ifndef STAX_SERVER_HANDLERS_H
#define STAX_SERVER_HANDLERS_H

#include "server/method.h"

method_handler method_status, method_list_runs, method_start_attach, method_stop_active,
    method_wait_active, method_save_current, method_symbolize, method_open_saved, method_select_run,
    method_remove_run, method_set_paused, method_is_paused;
method_handler method_diagnose_host;
method_handler method_diagnostics, method_sql, method_compare, method_subscribe, method_unsubscribe;

/* The parameter "daemon_socket", borrowed from parameters: staxd's socket, "" for none. */
int handlers_daemon_socket(const json_t *parameters, const char **path, struct err *e);

#endif
