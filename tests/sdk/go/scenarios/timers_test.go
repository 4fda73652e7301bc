package scenarios

import (
	"testing"
	"time"

	"github.com/microsoft/durabletask-go/api"
	"github.com/microsoft/durabletask-go/task"

	"longhaul.dev/tests/sdk/go/support"
)

func TestTimerFiresAtItsTimeAndNotBefore(t *testing.T) {
	const delay = 400 * time.Millisecond
	hub := support.NewHub(t)
	hub.Worker(support.Tasks{Orchestrators: orchestrators{"nap": func(ctx *task.OrchestrationContext) (any, error) {
		began := ctx.CurrentTimeUtc
		err := ctx.CreateTimer(delay).Await(nil)
		return ctx.CurrentTimeUtc.Sub(began) >= delay, err
	}}})
	began := time.Now()
	hub.JSON("late enough by the orchestration's clock", hub.Run("nap"), true)
	if took := time.Since(began); took < delay {
		t.Fatalf("a timer of %s was over after %s", delay, took)
	}
}

func TestTimersFireInTheOrderOfTheirTimes(t *testing.T) {
	hub := support.NewHub(t)
	hub.Worker(support.Tasks{
		Orchestrators: orchestrators{"race": func(ctx *task.OrchestrationContext) (any, error) {
			late := ctx.CreateTimer(500 * time.Millisecond)
			if err := ctx.CreateTimer(50 * time.Millisecond).Await(nil); err != nil {
				return nil, err
			}
			early := ctx.CurrentTimeUtc
			if err := late.Await(nil); err != nil {
				return nil, err
			}
			return ctx.CurrentTimeUtc.After(early), nil
		}},
	})
	hub.JSON("the shorter timer was first", hub.Run("race"), true)
}

func TestTimerOfNoTimeFires(t *testing.T) {
	hub := support.NewHub(t)
	hub.Worker(support.Tasks{Orchestrators: orchestrators{"blink": func(ctx *task.OrchestrationContext) (any, error) {
		return "awake", ctx.CreateTimer(0).Await(nil)
	}}})
	hub.JSON("output", hub.Run("blink"), "awake")
}

func TestScheduledStartIsAwaited(t *testing.T) {
	const delay = 600 * time.Millisecond
	hub := support.NewHub(t)
	hub.Worker(support.Tasks{Orchestrators: orchestrators{"later": func(ctx *task.OrchestrationContext) (any, error) {
		return ctx.CurrentTimeUtc, nil
	}}})
	startAt := time.Now().Add(delay)
	id := hub.Start("later", api.WithStartTime(startAt))
	hub.Equal("status before the start", hub.State(id).RuntimeStatus, api.RUNTIME_STATUS_PENDING)
	hub.Completed(id)
	if now := time.Now(); now.Before(startAt) {
		t.Fatalf("started %s too early", startAt.Sub(now))
	}
}
