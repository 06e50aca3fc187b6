package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/nats-io/nkeys"

	"dcpos/central/link"
	"dcpos/central/reconcile/segment"
	"dcpos/internal/cli"
	"dcpos/internal/secret"
	"dcpos/pos"
)

type workerCmd struct {
	URL      string `name:"url" placeholder:"URL" help:"The centre's NATS, as tills reach it: nats://HOST:4222 or tls://… 中心地址。"`
	Key      string `required:"" type:"path" placeholder:"FILE" help:"This worker's key (nkey seed). 工作节点密钥文件。"`
	NewKey   bool   `help:"Make the key if it is absent, print its public half for reconcile.worker_keys, and end. 生成密钥并显示公钥。"`
	Segments string `placeholder:"DIR|URL" help:"Where the centre keeps segments: http(s)://HOST:8700/segments, s3+https://HOST/BUCKET, or the folder DIR/data where machines share it. 分段数据地址。"`
	Token    string `name:"token-file" type:"path" placeholder:"FILE" help:"The centre's reconcile.segments_token_file. 令牌文件。"`
	CA       string `name:"ca" type:"path" placeholder:"FILE" help:"PEM of who signed the centre's certificate; the system's without it. CA 证书。"`
	Memory   int64  `default:"268435456" help:"Bytes to stay within. 内存上限。"`
	Log      string `default:"info" help:"debug (each task), info, warn or error. 日志级别。"`
	AtOnce   int    `help:"Tasks at once; one per core by default. 并行数。"`
}

// Help is the long help text.
func (workerCmd) Help() string {
	return `A worker takes shards of the centre's reconciliations and may come and go at any time, also by SIGKILL: what it had
taken goes to another one after 30 s, and nothing is counted twice. It listens on no port. Set it up so:
  poscentral worker --key w.nk --new-key        prints U…; list it in reconcile.worker_keys of the centre and restart that
  poscentral worker --key w.nk --url tls://centre:4222 --segments https://centre:8700/segments --token-file token`
}

// Run works until SIGTERM.
func (w workerCmd) Run(ctx context.Context, out *cli.Streams) error {
	seed, public, err := w.key()
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	if w.NewKey {
		_, err := fmt.Fprintln(out.Out, public)
		return err
	}
	if w.URL == "" || w.Segments == "" {
		return cli.Exit(cli.Usage, errors.New("a worker needs --url and --segments"))
	}
	log, err := logger(out.Err, w.Log)
	if err != nil {
		return err
	}
	token := ""
	if w.Token != "" {
		if token, err = readToken(w.Token); err != nil {
			return cli.Exit(cli.Usage, err)
		}
	}
	store, err := segment.Open(w.Segments, token)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	road := link.WorkerRoad{URL: w.URL, Seed: seed, Log: log}
	if road.TLS, err = w.tls(); err != nil {
		return cli.Exit(cli.Usage, err)
	}
	if w.AtOnce <= 0 {
		w.AtOnce = runtime.GOMAXPROCS(0)
	}
	shards, err := w.dial(ctx, road)
	if err != nil {
		if ctx.Err() != nil {
			return nil // ended while the centre was away
		}
		return err
	}
	defer shards.Close()
	if err := again(ctx, log, "segments", func() error { return segment.Probe(ctx, store) }); err != nil {
		return nil // ended while they were away
	}
	log.InfoContext(ctx, "worker is up", "key", public, "at_once", w.AtOnce)
	tmp, err := os.MkdirTemp("", "poscentral-worker-*")
	if err != nil {
		return fmt.Errorf("make temporary folder: %w", err)
	}
	return serveShards(ctx, shards, store, tmp, w.Memory, w.AtOnce)
}

// dial connects; while the centre is away it tries again.
func (w workerCmd) dial(ctx context.Context, road link.WorkerRoad) (shards *link.Shards, err error) {
	err = again(ctx, road.Log, "centre", func() (err error) {
		shards, err = link.DialShards(ctx, road)
		return err
	})
	return shards, err
}

// again tries until it succeeds or ctx ends. A worker takes no task before it can do it: one without the
// right key for the segments would fail at everybody's.
func again(ctx context.Context, log *slog.Logger, what string, try func() error) error {
	const between = 5 * time.Second
	for {
		err := try()
		if err == nil {
			return nil
		}
		said := []any{"what", what, "err", err}
		if e, ok := errors.AsType[*pos.Error](err); ok {
			said = append(said, "hint", e.Hint.Both())
		}
		log.WarnContext(ctx, "not reached yet", said...)
		timer := time.NewTimer(between)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// key reads or makes this worker's key.
func (w workerCmd) key() (seed []byte, public string, err error) {
	if w.NewKey {
		seed, err = secret.Load(w.Key, func() ([]byte, error) {
			user, err := nkeys.CreateUser()
			if err != nil {
				return nil, err
			}
			return user.Seed()
		})
	} else {
		seed, err = os.ReadFile(w.Key)
	}
	if err != nil {
		return nil, "", fmt.Errorf("read key: %w", err)
	}
	seed = []byte(strings.TrimSpace(string(seed)))
	user, err := nkeys.FromSeed(seed)
	if err == nil {
		public, err = user.PublicKey()
	}
	if err != nil {
		return nil, "", fmt.Errorf("%s is no nkey seed: %w", w.Key, err)
	}
	return seed, public, nil
}

func (w workerCmd) tls() (*tls.Config, error) {
	if w.CA == "" {
		if strings.HasPrefix(w.URL, "tls:") {
			return &tls.Config{MinVersion: tls.VersionTLS12}, nil
		}
		return nil, nil //nolint:nilnil // as the address says
	}
	pem, err := os.ReadFile(w.CA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", w.CA)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}, nil
}
