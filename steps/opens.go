package steps

// Opens: who is passed on to the new side writes there.
func (p *proxy) Opens() bool { return true }

// Opens: a site may lead to the new side.
func (c *nginxSite) Opens() bool { return true }

// Opens: what was frozen takes writes.
func (f *postgresThaw) Opens() bool { return true }

// Opens: what was frozen takes writes.
func (f *mysqlThaw) Opens() bool { return true }

// Opens: users come back when maintenance is over.
func (c *maintenance) Opens() bool { return c.Switch == "off" }

var _ = []Opener{&proxy{}, &nginxSite{}, &postgresThaw{}, &mysqlThaw{}, &maintenance{}}

var _ = []Marker{&postgresCopy{}, &mysqlCopy{}, &redisCopy{}, &filesSync{}}
