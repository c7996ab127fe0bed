/* TLS: certificates are checked, a bundle can be named, no redirect leads down to http. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/http.h>
#include <mrpipe/text.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct mrp_error err;
static SSL_CTX *ctx;
static char *folder;
static char *bundle;
static int listener;
static int port;
static pthread_t thread;

static X509 *make_certificate(EVP_PKEY *key)
{
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    X509_NAME *name = X509_get_subject_name(x);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"127.0.0.1", -1, -1,
                               0);
    X509_set_issuer_name(x, name);
    X509V3_CTX v3;
    X509V3_set_ctx_nodb(&v3);
    X509V3_set_ctx(&v3, x, x, NULL, NULL, 0);
    X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, &v3, NID_subject_alt_name, "IP:127.0.0.1");
    X509_EXTENSION *authority =
        X509V3_EXT_conf_nid(NULL, &v3, NID_basic_constraints, "critical,CA:TRUE");
    X509_add_ext(x, names, -1);
    X509_add_ext(x, authority, -1);
    X509_EXTENSION_free(names);
    X509_EXTENSION_free(authority);
    X509_sign(x, key, EVP_sha256());
    return x;
}

/* One request per connection: "/down" is sent on to http. */
static void talk(int fd)
{
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    char request[8192];
    int n = SSL_accept(ssl) == 1 ? SSL_read(ssl, request, sizeof request - 1) : 0;
    if (n > 0) {
        static const char ok[] =
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecure";
        static const char down[] = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n"
                                   "Content-Length: 0\r\nConnection: close\r\n\r\n";
        request[n] = '\0';
        const char *text = mrp_starts(request, "GET /down ") ? down : ok;
        SSL_write(ssl, text, (int)strlen(text));
        SSL_shutdown(ssl);
    }
    SSL_free(ssl);
    close(fd);
}

static void *serve(void *arg)
{
    (void)arg;
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            return NULL;
        talk(fd);
    }
}

static int get(const char *path, struct mrp_http_response *resp)
{
    mrp_auto(mrp_http_free) struct mrp_http *http = NULL;
    err = (struct mrp_error){0};
    assert_int_equal(mrp_http_new(&http, NULL, &err), 0);
    mrp_auto(mrp_free_str) char *url = mrp_strf("https://127.0.0.1:%d%s", port, path);
    struct mrp_http_request req = {.url = url};
    return mrp_http_do(resp, http, &req, &err);
}

static void certificates(void **state)
{
    (void)state;
    struct mrp_http_response resp = {0};
    assert_int_equal(get("/", &resp), MRP_E_NET);
    assert_non_null(strstr(err.hint, "AWS_CA_BUNDLE"));
    assert_int_equal(resp.tries, 1); /* trying again does not make it better */
    mrp_http_response_done(&resp);
    setenv("AWS_CA_BUNDLE", bundle, 1);
    assert_int_equal(get("/", &resp), 0);
    assert_string_equal(mrp_buf_str(&resp.body), "secure");
    mrp_http_response_done(&resp);
    unsetenv("AWS_CA_BUNDLE");
    setenv("MRPIPE_INSECURE_TLS", "0", 1);
    assert_int_equal(get("/", &resp), MRP_E_NET);
    mrp_http_response_done(&resp);
    setenv("MRPIPE_INSECURE_TLS", "1", 1);
    assert_int_equal(get("/", &resp), 0);
    mrp_http_response_done(&resp);
    unsetenv("MRPIPE_INSECURE_TLS");
}

static void no_way_down(void **state)
{
    (void)state;
    struct mrp_http_response resp = {0};
    setenv("AWS_CA_BUNDLE", bundle, 1);
    assert_int_equal(get("/down", &resp), MRP_E_REMOTE);
    assert_non_null(strstr(err.msg, "https to http"));
    mrp_http_response_done(&resp);
    unsetenv("AWS_CA_BUNDLE");
}

static int start_all(void **state)
{
    (void)state;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = make_certificate(key);
    ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(ctx, x);
    SSL_CTX_use_PrivateKey(ctx, key);
    if (mrp_temp_dir(&folder, "net-tls", &err) != 0)
        return -1;
    bundle = mrp_strf("%s/ca.pem", folder);
    FILE *f = fopen(bundle, "we");
    if (!f || PEM_write_X509(f, x) != 1 || fclose(f) != 0)
        return -1;
    X509_free(x);
    EVP_PKEY_free(key);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, len) != 0 || listen(listener, 16) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &len) != 0)
        return -1;
    port = ntohs(address.sin_port);
    return pthread_create(&thread, NULL, serve, NULL);
}

static int stop_all(void **state)
{
    (void)state;
    shutdown(listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(listener);
    SSL_CTX_free(ctx);
    mrp_remove_tree(folder, &err);
    free(folder);
    free(bundle);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificates),
        cmocka_unit_test(no_way_down),
    };
    return cmocka_run_group_tests(tests, start_all, stop_all);
}
