/* The table of options and its parser (getopt_long). */
#include "cli.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define C(name) (1u << MRP_CLI_##name)
#define ALL 0xFFFFFFFFu
#define CARRIES (C(RUN) | C(PLAN) | C(VERIFY))
#define LOADS (CARRIES | C(VALIDATE) | C(GRAPH) | C(INIT))
#define SHOWS (CARRIES | C(DO))
#define FIELD(name) offsetof(struct mrp_cli_args, name)

const struct mrp_cli_option mrp_cli_options[] = {
    {"directory",
     'C',
     MRP_CLI_TEXT,
     FIELD(dir),
     "DIR",
     "work in DIR, as if mrpipe was started there",
     ALL,
     {0}},
    {"with",
     0,
     MRP_CLI_TEXT,
     FIELD(sidecar),
     "FILE",
     "take the mrpipe: section from FILE",
     LOADS & ~C(INIT),
     {0}},
    {"to",
     0,
     MRP_CLI_LIST,
     FIELD(to),
     "REGION",
     "a region to copy to; repeat it for several",
     LOADS | C(DO),
     {0}},
    {"map",
     0,
     MRP_CLI_LIST,
     FIELD(maps),
     "REPO=REPO",
     "another repository name in the other region",
     LOADS,
     {0}},
    {"region",
     0,
     MRP_CLI_TEXT,
     FIELD(region),
     "REGION",
     "the primary region (default: AWS_REGION)",
     LOADS | C(DO),
     {0}},
    {"id",
     0,
     MRP_CLI_TEXT,
     FIELD(id),
     "ID",
     "the name of the stage (default: the action's)",
     C(DO),
     {0}},
    {"resume",
     0,
     MRP_CLI_OPTIONAL,
     FIELD(resume),
     "ID",
     "go on with run ID, or with the last run",
     C(RUN),
     {0}},
    {"from",
     0,
     MRP_CLI_TEXT,
     FIELD(from),
     "STAGE",
     "start at STAGE; what comes before is taken from the last run",
     SHOWS,
     {0}},
    {"stage",
     0,
     MRP_CLI_LIST,
     FIELD(stages),
     "ID",
     "only this stage; repeat it for several",
     CARRIES,
     {0}},
    {"no-phases", 0, MRP_CLI_FLAG, FIELD(no_phases), NULL, "leave the phases out", C(RUN), {0}},
    {"dry-run",
     'n',
     MRP_CLI_FLAG,
     FIELD(dry_run),
     NULL,
     "change nothing; show what would change",
     C(RUN) | C(DO) | C(INIT),
     {0}},
    {"in-process",
     0,
     MRP_CLI_FLAG,
     FIELD(in_process),
     NULL,
     "run stages inside mrpipe, for a debugger",
     SHOWS,
     {0}},
    {"jobs", 'j', MRP_CLI_NUMBER, FIELD(jobs), "N", "stages at once", CARRIES, {0}},
    {"env",
     'e',
     MRP_CLI_LIST,
     FIELD(env),
     "NAME=VALUE",
     "set a variable for phases and stages",
     SHOWS,
     {0}},
    {"plugin-dir",
     0,
     MRP_CLI_LIST,
     FIELD(plugin_dirs),
     "DIR",
     "look for plugins in DIR first",
     ALL,
     {0}},
    {"log-format",
     0,
     MRP_CLI_CHOICE,
     FIELD(log_format),
     "FORMAT",
     "auto, plain, json or codebuild",
     SHOWS | C(REPORT),
     {"auto", "plain", "json", "codebuild"}},
    {"debug",
     0,
     MRP_CLI_TEXT,
     FIELD(debug),
     "TOPICS",
     "debug messages of these topics, such as http,retry",
     SHOWS,
     {0}},
    {"quiet",
     'q',
     MRP_CLI_FLAG,
     FIELD(quiet),
     NULL,
     "only the summary and failures",
     SHOWS | C(VALIDATE),
     {0}},
    {"verbose",
     'v',
     MRP_CLI_FLAG,
     FIELD(verbose),
     NULL,
     "debug messages, facts and outputs too",
     SHOWS | C(REPORT),
     {0}},
    {"dot", 0, MRP_CLI_FLAG, FIELD(dot), NULL, "print the graph for Graphviz", C(GRAPH), {0}},
    {"man", 0, MRP_CLI_FLAG, FIELD(man), NULL, "print the tables of the manual page", C(HELP), {0}},
    {"color",
     0,
     MRP_CLI_CHOICE,
     FIELD(color),
     "WHEN",
     "auto, always or never",
     ALL,
     {"auto", "always", "never"}},
    {"help", 'h', MRP_CLI_FLAG, FIELD(help), NULL, "explain the command", ALL, {0}},
    {"version", 'V', MRP_CLI_FLAG, FIELD(version), NULL, "print the version", ALL, {0}},
};
const size_t mrp_cli_option_count = MRP_COUNT(mrp_cli_options);

#define OPTIONS MRP_COUNT(mrp_cli_options)
#define LONG_BASE 256

struct tables {
    struct option longs[OPTIONS + 1];
    char shorts[2 * OPTIONS + 4];
};

/* getopt's tables. "-" first: operands come in order, so options may stand anywhere. */
static void make_tables(struct tables *t)
{
    char *p = t->shorts;
    *p++ = '-';
    *p++ = ':';
    for (size_t i = 0; i < OPTIONS; i++) {
        const struct mrp_cli_option *o = &mrp_cli_options[i];
        int has = o->kind == MRP_CLI_FLAG       ? no_argument
                  : o->kind == MRP_CLI_OPTIONAL ? optional_argument
                                                : required_argument;
        t->longs[i] = (struct option){o->name, has, NULL, LONG_BASE + (int)i};
        if (o->letter) {
            *p++ = o->letter;
            if (has == required_argument)
                *p++ = ':';
        }
    }
    t->longs[OPTIONS] = (struct option){0};
    *p = '\0';
}

static const struct mrp_cli_option *by_code(int code)
{
    if (code >= LONG_BASE && (size_t)(code - LONG_BASE) < OPTIONS)
        return &mrp_cli_options[code - LONG_BASE];
    for (size_t i = 0; i < OPTIONS; i++) {
        if (mrp_cli_options[i].letter && mrp_cli_options[i].letter == code)
            return &mrp_cli_options[i];
    }
    return NULL;
}

static int store(struct mrp_cli_args *args,
                 const struct mrp_cli_option *o,
                 const char *value,
                 struct mrp_error *err)
{
    char *field = (char *)args + o->offset;
    switch (o->kind) {
    case MRP_CLI_FLAG:
        *(bool *)field = true;
        return MRP_OK;
    case MRP_CLI_TEXT:
        *(const char **)field = value;
        return MRP_OK;
    case MRP_CLI_OPTIONAL:
        args->has_resume = true;
        *(const char **)field = value ? value : "last";
        return MRP_OK;
    case MRP_CLI_LIST:
        if (mrp_strv_add((char ***)field, value))
            return mrp_fail(err, MRP_E_NOMEM, "no memory");
        return MRP_OK;
    case MRP_CLI_NUMBER:
        if (mrp_parse_int((int64_t *)field, value, 1, 1000))
            return mrp_fail(err, MRP_E_CONFIG, "--%s: `%s` is not a number from 1 to 1000", o->name,
                            value);
        return MRP_OK;
    case MRP_CLI_CHOICE:
        for (int i = 0; o->choices[i]; i++) {
            if (strcmp(o->choices[i], value) == 0) {
                *(int *)field = i;
                return MRP_OK;
            }
        }
        mrp_fail(err, MRP_E_CONFIG, "--%s: unknown value `%s`", o->name, value);
        return mrp_hint(err, "it is one of: %s", o->help);
    }
    return MRP_OK;
}

static int unknown_option(const char *word, struct mrp_error *err)
{
    const char *names[OPTIONS];
    for (size_t i = 0; i < OPTIONS; i++)
        names[i] = mrp_cli_options[i].name;
    mrp_fail(err, MRP_E_CONFIG, "unknown option `%s`", word);
    mrp_auto(mrp_free_str) char *bare = mrp_strndup(word, strcspn(word, "="));
    const char *near =
        bare && mrp_starts(bare, "--") ? mrp_nearest(bare + 2, names, OPTIONS) : NULL;
    if (near)
        return mrp_hint(err, "did you mean `--%s`?", near);
    return mrp_hint(err, "`mrpipe help` lists the commands, `mrpipe COMMAND --help` its options");
}

static int find_command(enum mrp_cli_id *out, const char *word, struct mrp_error *err)
{
    const char *names[MRP_CLI_COMMANDS];
    for (size_t i = 0; i < MRP_CLI_COMMANDS; i++) {
        names[i] = mrp_cli_commands[i].name;
        if (strcmp(names[i], word) == 0) {
            *out = (enum mrp_cli_id)i;
            return MRP_OK;
        }
    }
    mrp_fail(err, MRP_E_CONFIG, "unknown command `%s`", word);
    const char *near = mrp_nearest(word, names, MRP_CLI_COMMANDS);
    if (near)
        return mrp_hint(err, "did you mean `mrpipe %s`?", near);
    if (mrp_ends(word, ".yml") || mrp_ends(word, ".yaml"))
        return mrp_hint(err, "to run it: mrpipe run %s", word);
    if (strchr(word, '/'))
        return mrp_hint(err, "to run one action: mrpipe do %s", word);
    return mrp_hint(err, "`mrpipe help` lists the commands");
}

static int add_operand(struct mrp_cli_args *args, const char *word, struct mrp_error *err)
{
    if (mrp_strv_add(&args->operands, word))
        return mrp_fail(err, MRP_E_NOMEM, "no memory");
    args->operand_count++;
    return MRP_OK;
}

/* Does the option belong to the command? Asked at the end, as options may come first. */
static int check_fit(enum mrp_cli_id command, const bool seen[OPTIONS], struct mrp_error *err)
{
    for (size_t i = 0; i < OPTIONS; i++) {
        if (!seen[i] || (mrp_cli_options[i].commands >> command & 1u))
            continue;
        mrp_fail(err, MRP_E_CONFIG, "`mrpipe %s` has no option --%s",
                 mrp_cli_commands[command].name, mrp_cli_options[i].name);
        return mrp_hint(err, "`mrpipe %s --help` lists its options",
                        mrp_cli_commands[command].name);
    }
    return MRP_OK;
}

static int check_count(const struct mrp_cli_args *args, enum mrp_cli_id id, struct mrp_error *err)
{
    const struct mrp_cli_command *c = &mrp_cli_commands[id];
    if (args->help || args->version ||
        (args->operand_count >= c->min && args->operand_count <= c->max))
        return MRP_OK;
    if (args->operand_count < c->min)
        mrp_fail(err, MRP_E_CONFIG, "`mrpipe %s` needs %s", c->name, c->operands);
    else
        mrp_fail(err, MRP_E_CONFIG, "`mrpipe %s`: unexpected `%s`", c->name,
                 args->operands[c->max]);
    return mrp_hint(err, "usage: mrpipe %s [options]%s%s", c->name, *c->operands ? " " : "",
                    c->operands);
}

static void add_quoted(struct mrp_buf *out, const char *word)
{
    static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                               "_@%+=:,./-";
    if (*word && word[strspn(word, safe)] == '\0') {
        mrp_buf_adds(out, word);
        return;
    }
    mrp_buf_addc(out, '\'');
    for (const char *p = word; *p; p++) {
        if (*p == '\'')
            mrp_buf_adds(out, "'\\''");
        else
            mrp_buf_addc(out, *p);
    }
    mrp_buf_addc(out, '\'');
}

/* Values of --env may be secret: the command to run again takes them from the environment. */
static void add_env(struct mrp_buf *out, const char *pair)
{
    int n = (int)strcspn(pair, "=");
    mrp_buf_addf(out, "%.*s=\"$%.*s\"", n, pair, n, pair);
}

/* The option whose value a word of the command line is or ends with, and where in it that begins.
 * getopt knows abbreviations and letters in a row, so only it can say. */
struct said {
    const struct mrp_cli_option *option;
    size_t at;
};

static bool says(const struct said *said, const char *name)
{
    return said->option && strcmp(said->option->name, name) == 0;
}

/* The command without --from: a failure card adds the stage that it is about. */
static void add_again(struct mrp_buf *out, int argc, char **argv, const struct said *said)
{
    for (int i = 0; i < argc; i++) {
        bool from = says(&said[i], "from");
        bool before_from = i + 1 < argc && says(&said[i + 1], "from") && said[i + 1].at == 0;
        if (from || before_from)
            continue;
        if (i > 0)
            mrp_buf_addc(out, ' ');
        if (says(&said[i], "env")) {
            mrp_buf_add(out, argv[i], said[i].at);
            add_env(out, argv[i] + said[i].at);
        } else {
            add_quoted(out, argv[i]);
        }
    }
}

/* `--resume ID` as well as `--resume=ID`: a run's id begins with its date and a T, as no file does.
 */
static const char *optional_word(int argc, char **argv)
{
    static const char digits[] = "0123456789";
    if (optarg || optind >= argc)
        return optarg;
    const char *word = argv[optind];
    bool is_run = strcmp(word, "last") == 0 ||
                  (strspn(word, digits) == 8 && word[8] == 'T' && strspn(word + 9, digits) == 6);
    if (is_run)
        optind++;
    return is_run ? word : NULL;
}

static int each_option(struct mrp_cli_args *args,
                       enum mrp_cli_id *command,
                       bool seen[OPTIONS],
                       struct said *said,
                       int argc,
                       char **argv,
                       struct mrp_error *err)
{
    struct tables t;
    make_tables(&t);
    opterr = 0;
    int code = 0, rc = 0;
    while (!rc && (code = getopt_long(argc, argv, t.shorts, t.longs, NULL)) != -1) {
        const struct mrp_cli_option *o = by_code(code);
        if (code == 1) {
            rc = *command == MRP_CLI_COMMANDS ? find_command(command, optarg, err)
                                              : add_operand(args, optarg, err);
        } else if (o) {
            seen[o - mrp_cli_options] = true;
            if (optarg)
                said[optind - 1] = (struct said){o, (size_t)(optarg - argv[optind - 1])};
            rc = store(args, o, o->kind == MRP_CLI_OPTIONAL ? optional_word(argc, argv) : optarg,
                       err);
        } else if (code == ':') {
            rc = mrp_fail(err, MRP_E_CONFIG, "option `%s` needs a value", argv[optind - 1]);
        } else if (optopt >= LONG_BASE) {
            rc = mrp_fail(err, MRP_E_CONFIG, "option `--%s` takes no value", by_code(optopt)->name);
        } else if (optopt) {
            char word[] = {'-', (char)optopt, '\0'};
            rc = unknown_option(word, err);
        } else {
            rc = unknown_option(argv[optind - 1], err);
        }
    }
    for (int i = optind; !rc && i < argc; i++)
        rc = *command == MRP_CLI_COMMANDS ? find_command(command, argv[i], err)
                                          : add_operand(args, argv[i], err);
    return rc;
}

int mrp_cli_parse(struct mrp_cli_args *args,
                  enum mrp_cli_id *command,
                  int argc,
                  char **argv,
                  struct mrp_error *err)
{
    bool seen[OPTIONS] = {false};
    struct mrp_buf again = MRP_BUF_INIT(1 << 20);
    *command = MRP_CLI_COMMANDS;
    struct said *said = calloc((size_t)argc + 1, sizeof *said);
    if (!said)
        return mrp_fail(err, MRP_E_NOMEM, "no memory");
    int rc = each_option(args, command, seen, said, argc, argv, err);
    if (!rc) {
        add_again(&again, argc, argv, said);
        args->command_line = mrp_buf_take(&again);
    }
    free(said);
    if (!rc && *command != MRP_CLI_COMMANDS)
        rc = check_fit(*command, seen, err);
    if (!rc && *command != MRP_CLI_COMMANDS)
        rc = check_count(args, *command, err);
    return rc;
}

void mrp_cli_args_done(struct mrp_cli_args *args)
{
    mrp_free_strv(&args->to);
    mrp_free_strv(&args->maps);
    mrp_free_strv(&args->stages);
    mrp_free_strv(&args->env);
    mrp_free_strv(&args->plugin_dirs);
    mrp_free_strv(&args->operands);
    mrp_free_str(&args->command_line);
}
