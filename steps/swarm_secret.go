package steps

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"belay/remote/secret"
	"belay/steps/docker"
)

// swarmSealed is a secret in the Swarm, which gives it to nobody but tasks. A
// salted sum in a label tells whether it is still the plan's; it is made dear,
// so that the label does not give the secret away.
type swarmSealed struct {
	Name string
	Salt string // hex
	ID   string
}

const (
	swarmSumLabel = "belay.sum"
	swarmOfLabel  = "belay.service" // service/file
	swarmSumTurns = 200_000
)

func swarmSum(v secret.Value, salt string) (string, error) {
	s, err := hex.DecodeString(salt)
	if err != nil {
		return "", err
	}
	sum, err := pbkdf2.Key(sha256.New, v.Reveal(), s, swarmSumTurns, 32)
	return salt + "." + hex.EncodeToString(sum), err
}

// sealed finds the Swarm's secret for each file. One that is missing, or holds
// something else than the plan's, gets a new name, and no ID.
func (s *swarmService) sealed(ctx context.Context, e Env, eng *docker.Engine) (map[string]swarmSealed, error) {
	all := map[string]swarmSealed{}
	if len(s.Secrets) == 0 {
		return all, nil
	}
	list, err := eng.SecretList(ctx, client.SecretListOptions{Filters: make(client.Filters).Add("label", swarmOfLabel)})
	if err != nil {
		return nil, fmt.Errorf("secrets of the Swarm: %w", err)
	}
	for _, file := range slices.Sorted(maps.Keys(s.Secrets)) {
		value, err := e.Secret(ctx, s.Secrets[file].Name)
		if err != nil {
			return nil, err
		}
		if len(value.Reveal()) == 0 || len(value.Reveal()) > 500<<10 {
			return nil, fmt.Errorf("secret %s: a Swarm takes from 1 byte to 500 KiB; nothing was changed", s.Secrets[file].Name)
		}
		found, err := swarmSealedIn(list.Items, s.Name+"/"+file, value)
		if err != nil {
			return nil, err
		}
		if found.ID == "" {
			found = swarmNewSealed(s.Name, file)
		}
		all[file] = found
	}
	return all, nil
}

func swarmSealedIn(list []swarm.Secret, of string, value secret.Value) (swarmSealed, error) {
	for _, x := range list {
		if x.Spec.Labels[swarmOfLabel] != of {
			continue
		}
		salt, _, _ := strings.Cut(x.Spec.Labels[swarmSumLabel], ".")
		sum, err := swarmSum(value, salt)
		if err == nil && salt != "" && sum == x.Spec.Labels[swarmSumLabel] {
			return swarmSealed{Name: x.Spec.Name, Salt: salt, ID: x.ID}, nil
		}
	}
	return swarmSealed{}, nil
}

func swarmNewSealed(service, file string) swarmSealed {
	var salt [16]byte
	rand.Read(salt[:])
	hexed := hex.EncodeToString(salt[:])
	return swarmSealed{Name: service + "." + file + "." + hexed[:8], Salt: hexed}
}

// seal makes the secrets that are missing. Their names are remembered first;
// one that was made by an attempt which did not hear of it is found by sealed.
func (s *swarmService) seal(ctx context.Context, e Env, eng *docker.Engine, v *swarmSeen, rec *swarmServed) error {
	for _, file := range slices.Sorted(maps.Keys(v.secret)) {
		x := v.secret[file]
		if x.ID != "" {
			continue
		}
		value, err := e.Secret(ctx, s.Secrets[file].Name)
		if err != nil {
			return err
		}
		sum, err := swarmSum(value, x.Salt)
		if err != nil {
			return err
		}
		rec.Secrets = append(rec.Secrets, x.Name)
		if err := e.Memory.Put(swarmServedKey, *rec); err != nil {
			return err
		}
		made, err := eng.SecretCreate(ctx, client.SecretCreateOptions{Spec: swarm.SecretSpec{
			Annotations: swarm.Annotations{Name: x.Name, Labels: map[string]string{swarmStepLabel: e.ID, swarmOfLabel: s.Name + "/" + file, swarmSumLabel: sum}},
			Data:        []byte(value.Reveal()),
		}})
		x.ID = made.ID
		if err != nil {
			return fmt.Errorf("secret %s of the Swarm: %w", x.Name, err)
		}
		fmt.Fprintf(e.Log, "secret %s is in the Swarm now\n", x.Name)
		v.secret[file] = x
	}
	for _, ref := range v.want.TaskTemplate.ContainerSpec.Secrets {
		ref.SecretID = v.secret[ref.File.Name].ID
	}
	return nil
}

// unseal removes the secrets that the step has made.
func (s *swarmService) unseal(ctx context.Context, e Env, eng *docker.Engine, rec swarmServed) error {
	for _, name := range rec.Secrets {
		v, err := eng.SecretInspect(ctx, name, client.SecretInspectOptions{})
		if dockerGone(err) {
			continue
		}
		if err == nil && v.Secret.Spec.Labels[swarmStepLabel] != e.ID {
			err = errors.New("it is not of this step")
		}
		if err == nil {
			_, err = eng.SecretRemove(ctx, v.Secret.ID, client.SecretRemoveOptions{})
		}
		if err != nil && !dockerGone(err) {
			return fmt.Errorf("remove secret %s of the Swarm: %w", name, err)
		}
		fmt.Fprintf(e.Log, "secret %s was removed\n", name)
	}
	return nil
}
