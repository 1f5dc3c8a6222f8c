package main

import (
	"context"

	"influxmirror/internal/archive"
	"influxmirror/internal/mirror"
)

// checker is an end that finds damage by itself. What it found is not there for whoever reads it afterwards.
type checker interface {
	Check(ctx context.Context) ([]archive.Damage, error)
}

// damageDoc is a file of an archive that is not what it was, as JSON.
type damageDoc struct {
	Side        mirror.Side `json:"side"`
	File        string      `json:"file"`
	Reason      string      `json:"reason"`
	Measurement string      `json:"measurement,omitempty"`
	Start       string      `json:"start,omitempty"`
	Stop        string      `json:"stop,omitempty"`
	Samples     uint64      `json:"samples"`
	text        string
}

// damaged checks the ends that can be checked without the other one: every file of an archive, against its manifest.
func (w *wired) damaged(ctx context.Context) (out []damageDoc, err error) {
	for _, end := range []struct {
		side mirror.Side
		at   reader
	}{{mirror.SourceSide, w.source.reader}, {mirror.TargetSide, w.target.writer}} {
		c, can := end.at.(checker)
		if !can {
			continue
		}
		list, err := c.Check(ctx)
		if mirror.KindOf(err) == mirror.Missing {
			continue // which the probe says better
		}
		if err != nil {
			return out, err
		}
		for _, d := range list {
			doc := damageDoc{Side: end.side, File: d.File, Reason: d.Reason, Measurement: d.Measurement, Samples: d.Samples, text: string(end.side) + " " + end.at.URL() + ": " + d.String()}
			if !d.Window.Empty() {
				doc.Start, doc.Stop = mirror.FormatTime(d.Window.Start), mirror.FormatTime(d.Window.Stop)
			}
			out = append(out, doc)
		}
	}
	return out, nil
}
