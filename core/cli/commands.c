/* The table of commands: help, completion and the manual page come from it. */
#include "cli.h"

const struct mrp_cli_command mrp_cli_commands[MRP_CLI_COMMANDS] = {
    [MRP_CLI_RUN] =
        {"run", "[FILE]", "run the phases and stages of a spec",
         "FILE is a CodeBuild buildspec, with or without a mrpipe: section; without FILE it is "
         "buildspec.yml. The phases run as CodeBuild runs them, then the stages make the other "
         "regions equal. A second run right after a good one changes nothing.",
         0, 1, mrp_cli_run},
    [MRP_CLI_PLAN] =
        {"plan", "[FILE]", "show what run would change, and change nothing",
         "Reads local and remote state and lists the changes that run would make. No phase runs.",
         0, 1, mrp_cli_plan},
    [MRP_CLI_VALIDATE] =
        {"validate", "[FILE]", "check a spec without network or credentials",
         "Reports every problem of the file at once, with line, column and the nearest right name; "
         "when the file itself is right, those of the actions' options.",
         0, 1, mrp_cli_validate},
    [MRP_CLI_VERIFY] =
        {"verify", "[FILE]", "compare the regions and write nothing",
         "Exit code 0 means that all stages found both sides equal, 1 that something differs or "
         "failed.",
         0, 1, mrp_cli_verify},
    [MRP_CLI_DO] =
        {"do", "PLUGIN/ACTION [KEY=VALUE | KEY:=JSON ...]", "run one action without a spec",
         "KEY=VALUE gives text, KEY:=JSON a list, a map or any other JSON value. Values may hold "
         "${{env.NAME}}, which keeps secrets out of the process list.",
         1, 4096, mrp_cli_do},
    [MRP_CLI_INIT] =
        {"init", "[FILE]", "write the stages that --to derives into the file",
         "Appends a mrpipe: section and leaves the rest of the file as it is, byte for byte. With "
         "--dry-run the section goes to standard output.",
         0, 1, mrp_cli_init},
    [MRP_CLI_GRAPH] =
        {"graph", "[FILE]", "show the order of the stages",
         "Each line is a stage after fan-out, with what it waits for; stages with the same number "
         "may run at once.",
         0, 1, mrp_cli_graph},
    [MRP_CLI_REPORT] =
        {"report", "[RUN]", "show the report of a finished run",
         "RUN is the id of a run in .mrpipe/runs or the path of an events.jsonl; without it, the "
         "last run. --log-format tells the whole run again in that format.",
         0, 1, mrp_cli_report},
    [MRP_CLI_PLUGINS] = {"plugins", "", "list the plugins and where they were found",
                         "A plugin that was refused or failed to load is listed with the cause.", 0,
                         0, mrp_cli_plugins},
    [MRP_CLI_HELP] =
        {"help", "[COMMAND | PLUGIN | PLUGIN/ACTION]", "explain a command, a plugin or an action",
         "For an action: its options with types and defaults, its outputs, an example.", 0, 1,
         mrp_cli_help},
    [MRP_CLI_SCHEMA] =
        {"schema", "", "print the JSON Schema of specs, for editors",
         "It covers the buildspec, the mrpipe: section and the options of all plugins found.", 0, 0,
         mrp_cli_schema},
    [MRP_CLI_DOCTOR] = {"doctor", "", "check this machine: plugins, credentials, tools",
                        "Shows where credentials would come from and never what they are.", 0, 0,
                        mrp_cli_doctor},
    [MRP_CLI_NEW_PLUGIN] =
        {"new-plugin", "NAME", "write a new plugin that compiles, into the folder NAME",
         "The folder builds against the installed headers with pkg-config, by make or CMake.", 1, 1,
         mrp_cli_new_plugin},
    [MRP_CLI_COMPLETION] = {"completion", "bash", "print the shell completion",
                            "Put it to use with: source <(mrpipe completion bash)", 1, 1,
                            mrp_cli_completion},
};
