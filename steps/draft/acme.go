package draft

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"belay/checks/inspect"
)

// lineage is a certificate as certbot keeps it: live/NAME has links into
// archive/NAME, and renewal/NAME.conf says how it is renewed.
// https://eff-certbot.readthedocs.io/en/stable/using.html#where-are-my-certificates
var lineage = regexp.MustCompile(`^/etc/letsencrypt/live/([A-Za-z0-9][A-Za-z0-9._-]*)/[^/]+$`)

// lineage brings one whole, links and all, so that certbot on the new host can
// go on with it.
func (d *draft) lineage(name string) {
	if slices.Contains(d.lineages, name) {
		return
	}
	live := "/etc/letsencrypt/live/" + name
	if slices.ContainsFunc(d.new.Certificates, func(c inspect.Certificate) bool { return strings.HasPrefix(c.Path, live+"/") }) {
		if !slices.Contains(d.brought, live) {
			d.brought = append(d.brought, live)
			d.prepare.note("  ", fmt.Sprintf("%s has a certificate in %s of its own; it stays.", d.New.Name, live))
		}
		return
	}
	d.lineages = append(d.lineages, name)
	d.prepare.note("  ", fmt.Sprintf("certbot on %s renews this certificate. It comes with its links and with how it is renewed, but without certbot's account: renewal is set up on %s by people, see the sign-off.", d.Old.Name, d.New.Name))
	d.bring("/etc/letsencrypt/archive/" + name)
	d.bring(live)
	d.bringFile(&d.prepare, "/etc/letsencrypt/renewal/"+name+".conf")
}

// acmePaths are where other clients keep what they get.
var acmePaths = regexp.MustCompile(`/(\.?acme(\.sh)?|\.?lego|dehydrated|caddy|getssl)/`)

// acmeIssuers give certificates for weeks, not for years.
var acmeIssuers = regexp.MustCompile(`(?i)let's encrypt|zerossl|buypass|google trust services|actalis`)

// renewal tells people of certificates that a program on the old host renews.
func (d *draft) renewal(it Item) {
	names, by := it.serverNames(), ""
	for _, f := range it.Nginx.Names {
		switch m := lineage.FindStringSubmatch(f); {
		case m != nil && slices.Contains(d.lineages, m[1]):
			by = fmt.Sprintf("certbot is installed there, has an account, reloads nginx when it has renewed, and `certbot renew --cert-name %s --dry-run` passes", m[1])
		case m != nil:
			by = fmt.Sprintf("that in %s there is the one that shall be served", m[0])
		case by == "" && (acmePaths.MatchString(f) || d.isACME(f)):
			by = fmt.Sprintf("the program that renews %s on %s (acme.sh, lego, dehydrated and the like) is set up there, and reloads nginx when it has", f, d.Old.Name)
		}
	}
	if by == "" {
		return
	}
	d.renewed = append(d.renewed, names)
	d.signoff.line("  - %s", fmt.Sprintf("The certificate of %s will be renewed on %s: %s. Where that is proved by HTTP it can only pass once DNS leads there, so somebody looks at it right after DNS is changed, and ends the renewal on %s",
		names, d.New.Name, by, d.Old.Name))
}

func (d *draft) isACME(file string) bool {
	return slices.ContainsFunc(d.old.Certificates, func(c inspect.Certificate) bool { return c.Path == file && acmeIssuers.MatchString(c.Issuer) })
}
