/* thread: a plugin that starts a thread while it is mapped and asks it for its answer. */
#include <mrpipe/plugin.h>
#include <mrpipe/stage.h>

#include <pthread.h>

struct none {
    char *text;
};
static const struct mrp_option options[] = {
    {"text", MRP_STRING(struct none, text), .help = "nothing"},
    {0},
};
static const struct mrp_output_info outputs[] = {{"answer", "string", "of the thread"}, {0}};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;
static bool asked, answered;

static void *serve(void *arg)
{
    pthread_mutex_lock(&lock);
    while (!asked)
        pthread_cond_wait(&moved, &lock);
    answered = true;
    pthread_cond_signal(&moved);
    pthread_mutex_unlock(&lock);
    return arg;
}

static void __attribute__((constructor)) begin(void)
{
    pthread_t id;
    pthread_create(&id, NULL, serve, NULL);
}

static int
ask_run(void *state, struct mrp_stage *stage, enum mrp_result *result, struct mrp_error *err)
{
    (void)state;
    *result = MRP_UNCHANGED;
    pthread_mutex_lock(&lock);
    asked = true;
    pthread_cond_signal(&moved);
    while (!answered) /* for ever in a process that has lost the thread */
        pthread_cond_wait(&moved, &lock);
    pthread_mutex_unlock(&lock);
    return mrp_output(stage, "answer", json_string("here"), err);
}

static const struct mrp_action actions[] = {
    {.name = "ask",
     .summary = "ask the thread",
     .options = options,
     .outputs = outputs,
     .options_size = sizeof(struct none),
     .run = ask_run},
};

MRP_EXPORT const struct mrp_plugin mrp_plugin_v1 = {
    MRP_PLUGIN_HEAD,    .name = "thread",
    .version = "1",     .summary = "a plugin with a thread of its own",
    .actions = actions, .action_count = MRP_COUNT(actions),
};
