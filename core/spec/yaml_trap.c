/* The traps of YAML: parser errors and tags explained. */
#include "yaml_trap.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <ctype.h>
#include <string.h>

static bool tab_indented(const char *line)
{
    for (; *line == ' ' || *line == '\t'; line++)
        if (*line == '\t')
            return true;
    return false;
}

/* The parser stumbles over the `{` after the `$` of an expression: only inside `{ }` or `[ ]` does
 * a bracket mean anything there. */
static bool expression_in_flow(const char *line, int col)
{
    for (int i = 1; i < col && *line; i++) {
        line++;
        while ((*line & 0xC0) == 0x80)
            line++;
        if (i + 1 == col - 1 && mrp_starts(line, "${{"))
            return true;
    }
    return col == 2 && mrp_starts(line, "${{");
}

static const char *hint_for(const struct mrp_reader *rd, const char *problem, struct mrp_mark at)
{
    const char *text = mrp_source_line(rd->src, at.line);
    if (text && tab_indented(text))
        return "YAML takes only blanks as indentation, not tabs";
    if (text && strstr(problem, "did not find expected ','") && expression_in_flow(text, at.col))
        return "inside { } or [ ] put quotes around an expression: '${{ ... }}'";
    if (strstr(problem, "mapping values are not allowed"))
        return "quote the text if the `: ` belongs to it";
    if (strstr(problem, "cannot start any token")) {
        const char *word = text ? text + strspn(text, " -") : "";
        return strpbrk(word, "@`%") ? "quote text that begins with @, ` or %" : "quote the text";
    }
    if (strstr(problem, "found unexpected end of stream") || strstr(problem, "end of stream"))
        return "a quote or bracket is not closed";
    if (strstr(problem, "did not find expected key"))
        return "check the indentation and the quotes of this line and the one before";
    if (strstr(problem, "did not find expected '-' indicator"))
        return "list items that belong together begin in the same column";
    if (strstr(problem, "could not find expected ':'"))
        return "a key needs a `:`; text of several lines needs `|`";
    return NULL;
}

void mrp_yaml_explain(struct mrp_reader *rd, const yaml_parser_t *parser)
{
    const char *problem = parser->problem ? parser->problem : "cannot be read";
    if (parser->error == YAML_READER_ERROR) {
        mrp_problem_at(rd, false, (struct mrp_mark){0}, 1, NULL, "%s (0x%x)", problem,
                       (unsigned)parser->problem_value);
        return;
    }
    struct mrp_mark at = {(int)parser->problem_mark.line + 1, (int)parser->problem_mark.column + 1};
    int context = parser->context ? (int)parser->context_mark.line + 1 : 0;
    /* At the end of the file there is nothing to see: show where the open part began. */
    if (context && at.line > context && at.line >= (int)rd->src->count &&
        strstr(problem, "end of stream")) {
        at = (struct mrp_mark){context, (int)parser->context_mark.column + 1};
    }
    const char *hint = hint_for(rd, problem, at);
    if (context && context != at.line)
        mrp_problem_at(rd, false, at, 1, hint, "%s (%s that begins on line %d)", problem,
                       parser->context, context);
    else
        mrp_problem_at(rd, false, at, 1, hint, "%s", problem);
}

bool mrp_yaml_bad_tag(struct mrp_reader *rd, const char *tag, const struct mrp_yaml_node *node)
{
    static const char *const scalars[] = {"str", "int", "float", "bool", "null", "timestamp"};
    static const char prefix[] = "tag:yaml.org,2002:";
    if (!tag || !strcmp(tag, "!"))
        return false;
    if (mrp_starts(tag, prefix)) {
        const char *name = tag + sizeof prefix - 1;
        if (node->kind == MRP_YAML_LIST && !strcmp(name, "seq"))
            return false;
        if (node->kind == MRP_YAML_MAP && !strcmp(name, "map"))
            return false;
        for (size_t i = 0; node->kind == MRP_YAML_SCALAR && i < MRP_COUNT(scalars); i++)
            if (!strcmp(name, scalars[i]))
                return false;
        mrp_problem(rd, false, node, NULL, "the tag `!!%.60s` does not fit here", name);
        return true;
    }
    bool function = isupper((unsigned char)tag[1]) != 0;
    mrp_problem(rd, false, node,
                function ? "CloudFormation functions are not resolved in a buildspec"
                         : "quote the text if the `!` belongs to it",
                "the tag `%.60s` has no meaning here", tag);
    return true;
}
