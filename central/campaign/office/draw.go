package office

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"dcpos/central/campaign/draw"
	"dcpos/pos"
)

// Close freezes the list after registration has closed, writes entries.csv and has its
// root co-signed before the round exists. Again, it is a repeat.
func (o *Office) Close(ctx context.Context, name, by string) (Campaign, error) {
	c, err := o.Campaign(ctx, name)
	if err != nil {
		return c, err
	}
	switch now := o.now(); {
	case !c.ListSeen().IsZero():
		return c, o.lay(c)
	case c.State(now) == Void:
		return c, pos.FieldError(pos.ErrIllegalMove, "campaign", errors.New("terms or list were not witnessed in time: no draw would verify"))
	case now.Before(c.Definition.Register.Until):
		return c, pos.FieldError(pos.ErrIllegalMove, "campaign", fmt.Errorf("registration closes at %s", shanghai(c.Definition.Register.Until)))
	}
	if err := o.lay(c); err != nil {
		return c, err
	}
	if err := sweep(o.Dir(name)); err != nil {
		return c, err
	}
	if _, frozen := c.Log.List(); !frozen {
		list, err := o.entries(ctx, c, by, true)
		if err != nil {
			return c, err
		}
		record := draw.Record{Kind: draw.RecordList, Root: hex.EncodeToString(list.Root[:]), Size: list.Size}
		if c, err = o.append(ctx, c, record, by); err != nil {
			return c, err
		}
	}
	inTime := func(seen time.Time) error { return c.Terms.ListInTime(seen, c.RoundAt) }
	if c, err = o.cosign(ctx, c, int64(c.Version)+1, inTime); err != nil {
		return c, err
	}
	return c, o.lay(c)
}

// Draw draws with the beacon's round, has the result co-signed and seals the bundle.
// Drawing again gives the same bytes, and mends a folder that has lost files.
func (o *Office) Draw(ctx context.Context, name string, round draw.Round, by string) (Campaign, error) {
	c, err := o.Campaign(ctx, name)
	if err != nil {
		return c, err
	}
	switch now := o.now(); {
	case c.ListSeen().IsZero():
		return c, pos.FieldError(pos.ErrIllegalMove, "campaign", errors.New("the list was not co-signed: close registration first"))
	case c.Round == nil && now.Before(c.RoundAt): // one that is kept was known
		return c, pos.FieldError(pos.ErrIllegalMove, "round", fmt.Errorf("nobody can know round %d before %s", c.Terms.Beacon.Round, shanghai(c.RoundAt)))
	case round.Round != c.Terms.Beacon.Round:
		return c, pos.FieldError(pos.ErrBadRequest, "round", fmt.Errorf("the terms name round %d, this is %d", c.Terms.Beacon.Round, round.Round))
	}
	if _, err := round.Verify(c.Terms.Beacon.Chain); err != nil {
		return c, pos.FieldError(pos.ErrBadRequest, "round", err)
	}
	text, err := json.Marshal(round)
	if err != nil {
		return c, fmt.Errorf("round: %w", err)
	}
	if err := o.cfg.Store.PutRound(ctx, name, text, by); err != nil {
		return c, err
	}
	if c, err = o.decide(ctx, c, round, by); err != nil {
		return c, err
	}
	if c, err = o.cosign(ctx, c, int64(c.Version)+2, nil); err != nil {
		return c, err
	}
	return c, o.seal(c)
}

// Announce makes public what was logged since the draw, moves of the waiting list: it has the
// log co-signed as it is now, and lays and seals the bundle with it. Again, it is a repeat.
func (o *Office) Announce(ctx context.Context, name string) error {
	c, err := o.again(ctx, name) // another room has logged it
	if err != nil {
		return err
	}
	if c.ResultSeen().IsZero() {
		return pos.FieldError(pos.ErrIllegalMove, "campaign", errors.New("it was not drawn yet"))
	}
	if c, err = o.cosign(ctx, c, int64(len(c.Log.Records)), nil); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(o.Dir(name), draw.ManifestFile)); err != nil && c.Round != nil { // the folder is of another machine
		_, err := o.Draw(ctx, name, *c.Round, "centre")
		return err
	}
	return o.tidy(c)
}

// decide computes the result in the folder and logs it.
func (o *Office) decide(ctx context.Context, c Campaign, round draw.Round, by string) (Campaign, error) {
	dir := o.Dir(c.Definition.Name)
	if err := o.lay(c); err != nil {
		return c, err
	}
	if err := sweep(dir); err != nil {
		return c, err
	}
	list, err := o.entries(ctx, c, by, false)
	if fixed, _ := c.Log.List(); err != nil || hex.EncodeToString(list.Root[:]) != fixed.Root { // a damaged file: the store makes it again
		if _, err = o.entries(ctx, c, by, true); err != nil {
			return c, err
		}
	}
	if _, err := draw.Draw(dir, round); err != nil {
		return c, err
	}
	if _, logged := c.Log.Result(); logged {
		return c, nil
	}
	transcript, err := os.ReadFile(filepath.Join(dir, draw.TranscriptFile)) //nolint:gosec // our folder
	if err != nil {
		return c, fmt.Errorf("read transcript: %w", err)
	}
	return o.append(ctx, c, draw.Record{Kind: draw.RecordResult, SHA256: sum(transcript)}, by)
}

func shanghai(t time.Time) string { return t.In(pos.Shanghai()).Format(time.DateTime) }
