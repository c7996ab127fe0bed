/* The phases: commands, finally, on-failure. */
#include "buildspec.h"

#include "keys.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <ctype.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

const char *const mrp_phase_names[MRP_PHASES + 1] = {"install", "pre_build", "build", "post_build",
                                                     NULL};

#define RETRY_DEFAULT 3
#define RETRY_MAX 100
#define PATTERN_MAX 256
#define REPEATS_MAX 1000

static void free_commands(struct mrp_command *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(list[i].text);
    free(list);
}

void mrp_phase_done(struct mrp_phase_spec *phase)
{
    free(phase->run_as);
    free(phase->retry_pattern);
    free_commands(phase->commands, phase->command_count);
    free_commands(phase->finally, phase->finally_count);
    *phase = (struct mrp_phase_spec){0};
}

/* ---- commands ---- */

/* True if a quote is open at the end of the text, as the shell sees it. */
static bool open_quote(const char *text)
{
    char quote = 0;
    for (const char *p = text; *p; p++) {
        if (*p == '\\' && quote != '\'' && p[1])
            p++;
        else if (quote ? *p == quote : (*p == '\'' || *p == '"'))
            quote = quote ? 0 : *p;
    }
    return quote != 0;
}

/* An unquoted text ends at ` #`, also where the shell would still see a string. */
static void check_comment(struct mrp_reader *rd, const struct mrp_yaml_node *item)
{
    if (!item->plain || item->mark.line != item->end.line || !open_quote(item->text))
        return;
    const char *line = mrp_source_line(rd->src, item->end.line);
    const char *hash = line;
    /* The end mark may stand after the blanks that follow the text. */
    while (hash && (hash = strstr(hash, " #")) && hash - line + 2 < item->end.col)
        hash++;
    if (hash)
        mrp_problem_at(rd, true, (struct mrp_mark){item->end.line, (int)(hash - line) + 2}, 1,
                       "quote the whole command, or write it with `|`",
                       "YAML reads a comment from ` #` on: the command ends before it");
}

static size_t
read_commands(struct mrp_reader *rd, struct mrp_command **out, const struct mrp_yaml_node *node)
{
    if (!node || node->kind == MRP_YAML_MAP)
        return 0;
    size_t n = node->kind == MRP_YAML_LIST ? node->count : 1, used = 0;
    struct mrp_command *list = calloc(n ? n : 1, sizeof *list);
    if (!list) {
        rd->nomem = true;
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        const struct mrp_yaml_node *item = node->kind == MRP_YAML_LIST ? node->items[i] : node;
        const char *text = mrp_yaml_text(item);
        if (!text)
            continue;
        check_comment(rd, item);
        list[used++] = (struct mrp_command){mrp_read_copy(rd, text), item->mark};
    }
    *out = list;
    return used;
}

/* ---- on-failure ---- */

/* The product of a pattern's repeat counts: regcomp's memory grows with it. */
static bool too_many_repeats(const char *pattern)
{
    unsigned long product = 1;
    for (const char *p = strchr(pattern, '{'); p; p = strchr(p + 1, '{')) {
        unsigned long largest = 1;
        const char *q = p + 1;
        while (isdigit((unsigned char)*q) || *q == ',') {
            unsigned long n = 0;
            for (; isdigit((unsigned char)*q) && n < 100000; q++)
                n = 10 * n + (unsigned long)(*q - '0');
            if (n > largest)
                largest = n;
            if (isdigit((unsigned char)*q))
                return true;
            q += *q == ',';
        }
        product *= largest;
        if (product > REPEATS_MAX)
            return true;
    }
    return false;
}

static void
check_pattern(struct mrp_reader *rd, const struct mrp_yaml_node *node, const char *pattern)
{
    if (strlen(pattern) > PATTERN_MAX || too_many_repeats(pattern)) {
        mrp_problem(rd, false, node, NULL, "the pattern of `on-failure` is too large");
        return;
    }
    regex_t re;
    int rc = regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB);
    if (!rc) {
        regfree(&re);
        return;
    }
    char why[128];
    regerror(rc, &re, why, sizeof why);
    mrp_problem(rd, false, node, NULL, "the pattern `%.100s` cannot be used: %s", pattern, why);
}

static const char *const actions[] = {"ABORT", "CONTINUE", "RETRY"};

/* After `RETRY-`: digits up to the end or a `-` are the count, the rest is the pattern. */
static void read_retry(struct mrp_reader *rd,
                       struct mrp_phase_spec *phase,
                       const struct mrp_yaml_node *node,
                       const char *rest)
{
    size_t digits = strspn(rest, "0123456789");
    if (digits && (!rest[digits] || rest[digits] == '-')) {
        uint64_t count = 0;
        if (mrp_parse_uint(&count, rest, digits, RETRY_MAX))
            mrp_problem(rd, false, node, NULL, "`%.60s`: the count goes from 0 to %d", node->text,
                        RETRY_MAX);
        phase->retries = (int)count;
        rest += digits;
        if (!*rest)
            return;
        rest++;
    }
    if (!*rest) {
        mrp_problem(rd, false, node, "the forms are RETRY, RETRY-5, RETRY-regex, RETRY-5-regex",
                    "`%.60s` ends too early", node->text);
        return;
    }
    phase->retry_pattern = mrp_read_copy(rd, rest);
    check_pattern(rd, node, rest);
}

static void read_on_failure(struct mrp_reader *rd,
                            struct mrp_phase_spec *phase,
                            const struct mrp_yaml_node *node)
{
    const char *text = mrp_yaml_text(node);
    phase->on_failure = MRP_NORMAL_FLOW;
    if (!text)
        return;
    if (!strcmp(text, "CONTINUE")) {
        phase->on_failure = MRP_CONTINUE;
    } else if (!strcmp(text, "RETRY") || mrp_starts(text, "RETRY-")) {
        phase->on_failure = MRP_RETRY;
        phase->retries = RETRY_DEFAULT;
        if (text[5])
            read_retry(rd, phase, node, text + 6);
    } else if (!strcmp(text, "ABORT")) {
        phase->on_failure = MRP_ABORT;
    } else {
        mrp_auto(mrp_free_str) char *hint = NULL;
        for (size_t i = 0; i < MRP_COUNT(actions) && !hint; i++)
            if (!strcasecmp(text, actions[i]))
                hint = mrp_strf("did you mean `%s`?", actions[i]);
        if (!hint)
            hint = mrp_did_you_mean(text, actions, MRP_COUNT(actions));
        mrp_problem(rd, false, node, hint,
                    "`on-failure` is ABORT, CONTINUE, RETRY, RETRY-count, RETRY-regex or "
                    "RETRY-count-regex, not `%.60s`",
                    text);
    }
}

/* ---- phases ---- */

/* True if an unknown key of the phase already says what became of the commands. */
static bool explained(const struct mrp_yaml_node *map)
{
    for (size_t i = 0; i < map->count; i++) {
        bool known = false;
        for (size_t k = 0; k < mrp_keys_phase.count; k++)
            known |= !strcmp(mrp_keys_phase.keys[k].name, map->items[2 * i]->text);
        if (!known)
            return true;
    }
    return false;
}

static void read_phase(struct mrp_reader *rd,
                       struct mrp_spec *spec,
                       enum mrp_phase which,
                       const struct mrp_yaml_node *name,
                       const struct mrp_yaml_node *map)
{
    struct mrp_phase_spec *phase = &spec->phases[which];
    phase->present = true;
    phase->mark = name->mark;
    if (!mrp_yaml_is(map, MRP_YAML_MAP))
        return;
    phase->run_as = mrp_read_copy(rd, mrp_yaml_text(mrp_yaml_get(map, "run-as")));
    read_on_failure(rd, phase, mrp_yaml_get(map, "on-failure"));
    phase->command_count = read_commands(rd, &phase->commands, mrp_yaml_get(map, "commands"));
    phase->finally_count = read_commands(rd, &phase->finally, mrp_yaml_get(map, "finally"));
    const struct mrp_yaml_node *runtimes = mrp_yaml_get(map, "runtime-versions");
    if (runtimes)
        mrp_problem(
            rd, true,
            runtimes->kind == MRP_YAML_MAP && runtimes->count ? runtimes->items[0] : runtimes,
            "the commands get what this machine has", "`runtime-versions` are not installed here");
    if (which != MRP_INSTALL && !mrp_yaml_get(map, "commands") && !explained(map))
        mrp_problem(rd, true, name, "add `commands:` or remove the phase",
                    "phase `%s` has no commands", mrp_phase_names[which]);
}

void mrp_phases_read(struct mrp_reader *rd,
                     struct mrp_spec *spec,
                     const struct mrp_yaml_node *phases)
{
    spec->has_phases = true;
    for (size_t i = 0; mrp_yaml_is(phases, MRP_YAML_MAP) && i < phases->count; i++)
        for (int p = 0; p < MRP_PHASES; p++)
            if (!strcmp(phases->items[2 * i]->text, mrp_phase_names[p]))
                read_phase(rd, spec, (enum mrp_phase)p, phases->items[2 * i],
                           phases->items[2 * i + 1]);
}
