package checks

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"belay/remote"
)

// cannotAsk says that there is no way to ask from the host, which tells
// nothing about the URL.
type cannotAsk string

func (c cannotAsk) Error() string { return string(c) }

// ask gets the answer, through the host's Dialer or by a program on the host.
func (c *HTTPCheck) ask(ctx context.Context, h remote.Host, auth string) (answer, error) {
	limit := within(c.Timeout, 5*time.Second)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, slow(limit))
	defer cancel()
	if h.Dialer == nil {
		return c.askThere(ctx, h, auth, limit)
	}
	a, err := c.askHere(ctx, h, auth)
	if errors.Is(err, remote.ErrNoForwarding) {
		return c.askThere(ctx, h, auth, limit)
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return a, err
}

func (c *HTTPCheck) askHere(ctx context.Context, h remote.Host, auth string) (answer, error) {
	var body io.Reader
	if c.Body != "" {
		body = strings.NewReader(c.Body)
	}
	req, err := http.NewRequestWithContext(ctx, c.method(), c.URL, body)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("User-Agent", "belay")
	for name, value := range c.Headers {
		req.Header.Set(name, value)
		if strings.EqualFold(name, "Host") {
			req.Host = value
		}
	}
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if c.Connect != "" {
				addr = c.Connect
			}
			return h.Dial(ctx, "tcp", addr)
		},
		TLSClientConfig:        &tls.Config{InsecureSkipVerify: c.Insecure},
		ForceAttemptHTTP2:      true,
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: 256 << 10,
	}
	defer transport.CloseIdleConnections()
	began := time.Now()
	// RoundTrip, not a Client: no redirects, no cookies.
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	return answer{status: resp.StatusCode, body: text, took: time.Since(began)}, err
}

// askScript runs curl with its configuration, secrets included, from stdin; or
// wget. It prints headers and body and ends with the program's status. The
// third descriptor carries that status around the pipe.
const askScript = `LC_ALL=C; export LC_ALL
if command -v curl >/dev/null 2>&1; then
	exec 4>&1
	r=$({ { curl -q -sS -i -K -; echo $? >&3; } | head -c 1300000 >&4; } 3>&1)
	exit "$r"
fi
[ -n "$2" ] && command -v wget >/dev/null 2>&1 || exit 127
exec 3>&1
b=$(wget -S -O - -T "$1" "$2" 2>&3 | head -c 1048576)
printf '\n--belay-body--\n%s' "$b"`

// askThere is for hosts that pass no connections on.
func (c *HTTPCheck) askThere(ctx context.Context, h remote.Host, auth string, limit time.Duration) (answer, error) {
	secs := strconv.Itoa(int(max(1, limit.Round(time.Second).Seconds())))
	plain := ""
	// wget gets its URL on the command line and, as busybox has it, verifies
	// no certificates: so nothing secret, and no TLS.
	if c.method() == "GET" && c.Body == "" && auth == "" && len(c.Headers) == 0 && c.Connect == "" && strings.HasPrefix(c.URL, "http://") {
		plain = c.URL
	}
	cmd := remote.Sh(askScript, secs, plain)
	cmd.Stdin, cmd.Pure = strings.NewReader(c.curlConfig(auth, secs)), true
	began := time.Now()
	out, err := remote.Output(ctx, h, cmd)
	took := time.Since(began)
	exit, ended := errors.AsType[*remote.ExitError](err)
	switch {
	case ended && exit.Status == 127:
		return answer{}, cannotAsk(fmt.Sprintf("host %s passes no connections on, and has no program that could ask for us", h.Name))
	case ended && exit.Status != curlWriteError:
		return answer{}, errors.New(strings.TrimPrefix(OneLine(exit.Stderr, 200), "curl: "))
	case err != nil && !ended:
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return answer{}, err
	}
	a, err := parseAnswer(out)
	a.took = took
	return a, err
}

// curlWriteError is how curl ends when head had enough.
const curlWriteError = 23

// curlConfig is in the form of curl's -K: name = "value".
func (c *HTTPCheck) curlConfig(auth, secs string) string {
	var b strings.Builder
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`)
	set := func(name, value string) { fmt.Fprintf(&b, "%s = \"%s\"\n", name, escape.Replace(value)) }
	set("url", c.URL)
	set("max-time", secs)
	set("noproxy", "*")
	set("user-agent", "belay")
	b.WriteString("globoff\n")
	if c.method() == "HEAD" {
		b.WriteString("head\n")
	} else {
		set("request", c.method())
	}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		set("header", name+": "+c.Headers[name])
	}
	if auth != "" {
		set("header", "Authorization: "+auth)
	}
	if c.Body != "" {
		set("data-raw", c.Body)
	}
	if c.Connect != "" {
		set("connect-to", "::"+c.Connect)
	}
	if c.Insecure {
		b.WriteString("insecure\n")
	}
	return b.String()
}

var statusLine = regexp.MustCompile(`HTTP/\d(?:\.\d)? ([1-5]\d\d)\b`)

// parseAnswer reads what curl -i or the wget branch printed. Of curl, interim
// answers (100 Continue) come first, each with headers of its own.
func parseAnswer(out []byte) (answer, error) {
	// Of wget, its messages come first. They may hold HTTP/… of a redirect too:
	// the first status is the answer to what was asked.
	if said, body, ok := bytes.Cut(out, []byte("\n--belay-body--\n")); ok && !bytes.HasPrefix(out, []byte("HTTP/")) {
		m := statusLine.FindSubmatch(said)
		if m == nil && len(bytes.TrimSpace(said)) == 0 {
			return answer{}, cannotAsk("the host passes no connections on, and its wget said nothing")
		}
		if m == nil {
			return answer{}, errors.New(OneLine(string(said), 200))
		}
		status, _ := strconv.Atoi(string(m[1]))
		return answer{status: status, body: body}, nil
	}
	for {
		m := statusLine.FindSubmatch(out)
		if m == nil || !bytes.HasPrefix(out, m[0]) {
			return answer{}, errors.New("the answer is not HTTP")
		}
		status, _ := strconv.Atoi(string(m[1]))
		_, rest, whole := bytes.Cut(out, []byte("\r\n\r\n"))
		if status >= 200 || !whole {
			return answer{status: status, body: rest[:min(len(rest), maxBody)]}, nil
		}
		out = rest
	}
}

// plainError takes off what says the URL or the operation twice.
func plainError(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil {
		err = op.Err
	}
	return OneLine(strings.TrimPrefix(err.Error(), "connect: "), 200)
}
