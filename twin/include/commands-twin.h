/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands of perigee-twin: argv from their own name on, an exit status back. */
#ifndef TWIN_COMMANDS_H
#define TWIN_COMMANDS_H

int command_serve(int argc, char **argv);
int command_frame(int argc, char **argv);
int command_demo(int argc, char **argv);

#endif
