/* mrpipe completion: a bash script made from the tables of commands and options; the names it asks
 * for come from the plugins. */
#include "cli.h"

#include <mrpipe/auto.h>

#include <string.h>

static void put_commands(struct mrp_buf *out)
{
    for (size_t i = 0; i < MRP_CLI_COMMANDS; i++)
        mrp_buf_addf(out, "%s%s", i ? " " : "", mrp_cli_commands[i].name);
}

static void put_options(struct mrp_buf *out, size_t command)
{
    const char *before = "";
    for (size_t i = 0; i < mrp_cli_option_count; i++) {
        if (!(mrp_cli_options[i].commands >> command & 1u))
            continue;
        mrp_buf_addf(out, "%s--%s", before, mrp_cli_options[i].name);
        before = " ";
    }
}

/* What stands after an option that takes a value. */
static void put_values(struct mrp_buf *out)
{
    for (size_t i = 0; i < mrp_cli_option_count; i++) {
        const struct mrp_cli_option *o = &mrp_cli_options[i];
        if (o->kind == MRP_CLI_FLAG || o->kind == MRP_CLI_OPTIONAL)
            continue;
        mrp_buf_addf(out, "    --%s", o->name);
        if (o->letter)
            mrp_buf_addf(out, "|-%c", o->letter);
        mrp_buf_adds(out, ") ");
        if (o->kind == MRP_CLI_CHOICE) {
            mrp_buf_adds(out, "COMPREPLY=($(compgen -W '");
            for (size_t k = 0; o->choices[k]; k++)
                mrp_buf_addf(out, "%s%s", k ? " " : "", o->choices[k]);
            mrp_buf_adds(out, "' -- \"$cur\"))");
        } else if (strcmp(o->arg, "DIR") == 0) {
            mrp_buf_adds(out, "COMPREPLY=($(compgen -d -- \"$cur\"))");
        } else if (strcmp(o->arg, "FILE") == 0) {
            mrp_buf_adds(out, "COMPREPLY=($(compgen -f -- \"$cur\"))");
        } else {
            mrp_buf_adds(out, ":");
        }
        mrp_buf_adds(out, "; return ;;\n");
    }
}

/* The options whose value is the next word. */
static void put_valued(struct mrp_buf *out)
{
    const char *before = "";
    for (size_t i = 0; i < mrp_cli_option_count; i++) {
        const struct mrp_cli_option *o = &mrp_cli_options[i];
        if (o->kind == MRP_CLI_FLAG || o->kind == MRP_CLI_OPTIONAL)
            continue;
        mrp_buf_addf(out, "%s--%s", before, o->name);
        if (o->letter)
            mrp_buf_addf(out, "|-%c", o->letter);
        before = "|";
    }
}

static void put_script(struct mrp_buf *out)
{
    mrp_buf_adds(out,
                 "# bash completion of mrpipe; load it with: source <(mrpipe completion bash)\n"
                 "_mrpipe() {\n"
                 "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
                 "  local word command= options= action= last=\n"
                 "  COMPREPLY=()\n"
                 "  case $prev in\n");
    put_values(out);
    mrp_buf_adds(out, "  esac\n"
                      "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
                      "    case $word in\n      ");
    for (size_t i = 0; i < MRP_CLI_COMMANDS; i++)
        mrp_buf_addf(out, "%s%s", i ? "|" : "", mrp_cli_commands[i].name);
    mrp_buf_adds(out, ") command=$word; break ;;\n    esac\n  done\n  case $command in\n");
    for (size_t i = 0; i < MRP_CLI_COMMANDS; i++) {
        mrp_buf_addf(out, "    %s) options='", mrp_cli_commands[i].name);
        put_options(out, i);
        mrp_buf_adds(out, "' ;;\n");
    }
    mrp_buf_adds(out, "    *) options='--directory --help --version' ;;\n  esac\n"
                      "  if [[ $cur == -* ]]; then\n"
                      "    COMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n"
                      "    return\n  fi\n"
                      "  case $command in\n    '') COMPREPLY=($(compgen -W '");
    put_commands(out);
    mrp_buf_adds(out, "' -- \"$cur\")) ;;\n"
                      "    do) for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
                      "        case $last in\n          ");
    put_valued(out);
    mrp_buf_adds(out,
                 ") ;;\n"
                 "          *) [[ $word == */* && -z $action ]] && action=$word ;;\n"
                 "        esac\n"
                 "        last=$word\n"
                 "      done\n"
                 "      if [[ -z $action ]]; then\n"
                 "        COMPREPLY=($(compgen -W \"$(mrpipe completion actions 2>/dev/null)\" "
                 "-- \"$cur\"))\n"
                 "      elif [[ $cur == = || $prev == = ]]; then\n"
                 "        COMPREPLY=($(compgen -f -- \"${cur#=}\"))\n"
                 "      else\n"
                 "        COMPREPLY=($(compgen -W \"$(mrpipe completion \"$action\" 2>/dev/null)\" "
                 "-- \"$cur\"))\n"
                 "        compopt -o nospace 2>/dev/null\n"
                 "      fi ;;\n"
                 "    help) COMPREPLY=($(compgen -W \"$(mrpipe completion actions 2>/dev/null) ");
    put_commands(out);
    mrp_buf_adds(out, "\" -- \"$cur\")) ;;\n"
                      "    completion) COMPREPLY=($(compgen -W 'bash' -- \"$cur\")) ;;\n"
                      "    run|plan|verify|validate|init|graph) COMPREPLY=($(compgen -f -- "
                      "\"$cur\")) ;;\n"
                      "  esac\n}\ncomplete -o filenames -F _mrpipe mrpipe\n");
}

/* The names of all actions, for the script above. */
static int put_actions(struct mrp_buf *out, const struct mrp_cli_args *args, struct mrp_error *err)
{
    struct mrp_plugins plugins = {0};
    int rc = mrp_plugins_scan(&plugins, args->plugin_dirs, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < plugins.count; i++) {
        const struct mrp_plugin *plugin = plugins.list[i].plugin;
        const struct mrp_action *action = NULL;
        for (size_t k = 0; plugin && !plugins.list[i].shadowed; k++) {
            action = mrp_cli_action(plugin, k);
            if (!action)
                break;
            mrp_buf_addf(out, "%s/%s\n", plugin->name, action->name);
        }
    }
    mrp_plugins_done(&plugins);
    return MRP_OK;
}

/* What `do` takes after this action. */
static int put_keys(struct mrp_buf *out,
                    const struct mrp_cli_args *args,
                    const char *uses,
                    struct mrp_error *err)
{
    struct mrp_plugins plugins = {0};
    int rc = mrp_plugins_scan(&plugins, args->plugin_dirs, err);
    if (rc)
        return rc;
    const struct mrp_action *action = mrp_plugins_action(&plugins, uses);
    for (const struct mrp_option *o = action ? action->options : NULL; o && o->name; o++)
        mrp_buf_addf(out, "%s=\n", o->name);
    if (!action)
        rc = mrp_fail(err, MRP_E_CONFIG, "there is no action `%s`", uses);
    mrp_plugins_done(&plugins);
    return rc;
}

int mrp_cli_completion(const struct mrp_cli_args *args)
{
    struct mrp_error err = {0};
    struct mrp_buf out = MRP_BUF_INIT(1 << 20);
    const char *what = args->operands[0];
    if (strcmp(what, "bash") == 0) {
        put_script(&out);
    } else if (strcmp(what, "actions") == 0 || strchr(what, '/')) {
        if (strchr(what, '/') ? put_keys(&out, args, what, &err) : put_actions(&out, args, &err))
            return mrp_cli_fail(args, &err);
    } else {
        mrp_fail(&err, MRP_E_CONFIG, "no completion for `%s`", what);
        mrp_hint(&err, "there is one for: bash");
        (void)mrp_cli_fail(args, &err);
        return MRP_EXIT_USAGE;
    }
    return mrp_cli_put(&out);
}
