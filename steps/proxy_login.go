package steps

import (
	"context"
	"time"

	"belay/remote/secret"
	"belay/steps/mysql"
	"belay/steps/postgres"
	"belay/steps/redis"
)

// proxyLogin is how an application logs in.
type proxyLogin struct {
	Kind     string     `yaml:"kind" required:"" enum:"postgres|mysql|redis" doc:"what is behind the proxy"`
	User     string     `yaml:"user" doc:"the application's user"`
	Password secret.Ref `yaml:"password" doc:"secret of the application's user"`
	Database string     `yaml:"database" doc:"the application's database, where the store has them by name"`
	TLS      bool       `yaml:"tls" doc:"with TLS; which certificate it is, is not looked at, for its name is the server's"`
}

// try logs in and asks a question that changes nothing.
func (l *proxyLogin) try(ctx context.Context, e Env, addr string) error {
	ctx, stop := context.WithTimeout(ctx, 60*time.Second)
	defer stop()
	password, err := storePassword(ctx, store{Password: l.Password}, e.Secret)
	if err != nil {
		return err
	}
	mode := "disable"
	if l.TLS {
		mode = "require"
	}
	switch l.Kind {
	case "postgres":
		c, err := postgres.Server{Host: e.Host, Addr: addr, User: l.User, Password: password, Database: l.Database, TLS: mode}.Connect(ctx)
		if err != nil {
			return err
		}
		defer c.Close(context.WithoutCancel(ctx))
		return c.Ping(ctx)
	case "mysql":
		db, err := mysql.Server{Host: e.Host, Addr: addr, User: l.User, Password: password, TLS: mode}.OpenPlain(ctx, l.Database)
		if err != nil {
			return err
		}
		defer db.Close()
		return db.PingContext(ctx)
	}
	c, err := redis.Server{Host: e.Host, Addr: addr, User: l.User, Password: password, TLS: mode}.Connect(ctx)
	if err != nil {
		return err
	}
	return c.Close()
}
