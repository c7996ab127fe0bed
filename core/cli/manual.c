/* The commands and options as mdoc, for the manual page. */
#include "cli.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

/* A hyphen of a name must stay one, and a leading point or quote is a request to roff. */
static void escape(struct mrp_buf *out, const char *text)
{
    if (*text == '.' || *text == '\'')
        mrp_buf_adds(out, "\\&");
    for (const char *p = text; *p; p++) {
        if (*p == '\\')
            mrp_buf_adds(out, "\\e");
        else
            mrp_buf_addc(out, *p);
    }
}

/* One sentence per line, as mdoc wants it. */
static void sentences(struct mrp_buf *out, const char *text)
{
    struct mrp_buf line = MRP_BUF_INIT(16 * 1024);
    for (const char *p = text; *p; p++) {
        mrp_buf_addc(&line, *p);
        bool end = (*p == '.' || *p == ':' || *p == ';') && (p[1] == ' ' || p[1] == '\0');
        if (!end || (p[1] == ' ' && *p != '.'))
            continue;
        escape(out, mrp_buf_str(&line));
        mrp_buf_addc(out, '\n');
        mrp_buf_reset(&line);
        while (p[1] == ' ')
            p++;
    }
    if (line.len > 0) {
        escape(out, mrp_buf_str(&line));
        mrp_buf_addc(out, '\n');
    }
    mrp_buf_done(&line);
}

static void put_options(struct mrp_buf *out)
{
    mrp_buf_adds(out, ".Bl -tag -width Ds\n");
    for (size_t i = 0; i < mrp_cli_option_count; i++) {
        const struct mrp_cli_option *o = &mrp_cli_options[i];
        mrp_buf_adds(out, ".It ");
        if (o->letter)
            mrp_buf_addf(out, "Fl %c , ", o->letter);
        mrp_buf_addf(out, "Fl \\-%s", o->name);
        if (o->kind == MRP_CLI_OPTIONAL)
            mrp_buf_addf(out, " Op Ar %s", o->arg);
        else if (o->arg)
            mrp_buf_addf(out, " Ar %s", o->arg);
        mrp_buf_addc(out, '\n');
        mrp_auto(mrp_free_str) char *text = mrp_strf("%s.", o->help);
        if (text && *text >= 'a' && *text <= 'z')
            *text = (char)(*text - 'a' + 'A');
        escape(out, text ? text : "");
        mrp_buf_addc(out, '\n');
        bool all = true;
        for (size_t c = 0; c < MRP_CLI_COMMANDS; c++)
            all = all && (o->commands >> c & 1u);
        if (all)
            continue;
        mrp_buf_adds(out, "For");
        const char *before = "";
        for (size_t c = 0; c < MRP_CLI_COMMANDS; c++) {
            if (!(o->commands >> c & 1u))
                continue;
            mrp_buf_addf(out, "%s\n.Cm %s", before, mrp_cli_commands[c].name);
            before = " ,";
        }
        mrp_buf_adds(out, " .\n");
    }
    mrp_buf_adds(out, ".El\n");
}

void mrp_cli_manual(struct mrp_buf *out)
{
    mrp_buf_adds(out, ".Sh COMMANDS\n.Bl -tag -width Ds\n");
    for (size_t i = 0; i < MRP_CLI_COMMANDS; i++) {
        const struct mrp_cli_command *c = &mrp_cli_commands[i];
        mrp_buf_addf(out, ".It Cm %s", c->name);
        if (*c->operands)
            mrp_buf_addf(out, " %s", c->operands);
        mrp_buf_adds(out, "\n");
        mrp_auto(mrp_free_str) char *text = mrp_strf("%s.", c->summary);
        if (text && *text >= 'a' && *text <= 'z')
            *text = (char)(*text - 'a' + 'A');
        escape(out, text ? text : "");
        mrp_buf_addc(out, '\n');
        sentences(out, c->doc);
    }
    mrp_buf_adds(out, ".El\n.Sh OPTIONS\n"
                      "Options may stand before or after the command.\n");
    put_options(out);
}
