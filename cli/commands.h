/* SPDX-License-Identifier: MIT */
/* Every subcommand, for commands.c. */
#ifndef CT_CLI_COMMANDS_H
#define CT_CLI_COMMANDS_H

#include "opt.h"

extern const struct ct_command ct_command_doctor;
extern const struct ct_command ct_command_policy;
extern const struct ct_command ct_command_record;
extern const struct ct_command ct_command_report;

int ct_cmd_doctor(int argc, char **argv);
int ct_cmd_policy(int argc, char **argv);
int ct_cmd_record(int argc, char **argv);
int ct_cmd_report(int argc, char **argv);

#endif
