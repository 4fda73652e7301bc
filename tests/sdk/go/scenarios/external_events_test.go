package scenarios

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/microsoft/durabletask-go/api"
	"github.com/microsoft/durabletask-go/task"

	"longhaul.dev/tests/sdk/go/support"
)

// collects is an orchestrator that returns the payloads of this many external events of one name.
func collects(name string, count int) task.Orchestrator {
	return func(ctx *task.OrchestrationContext) (any, error) {
		payloads := make([]string, count)
		for i := range payloads {
			if err := ctx.WaitForSingleEvent(name, -1).Await(&payloads[i]); err != nil {
				return nil, err
			}
		}
		return payloads, nil
	}
}

func TestEventWakesARunningOrchestration(t *testing.T) {
	hub := support.NewHub(t)
	hub.Worker(support.Tasks{Orchestrators: orchestrators{"listener": collects("word", 2)}})
	id := hub.Start("listener")
	hub.Reaches(id, api.RUNTIME_STATUS_RUNNING)
	hub.Raise(id, "WORD", "one")
	hub.Raise(id, "word", "two")
	hub.JSON("payloads, whatever the case of the name", hub.Completed(id), []string{"one", "two"})
}

func TestEventsBeforeTheFirstTurnAreKeptInOrder(t *testing.T) {
	hub := support.NewHub(t)
	id := hub.Start("listener")
	words := []string{"one", "two", "three", "four", "five"}
	for _, word := range words {
		hub.Raise(id, "word", word)
	}
	hub.Raise(id, "other", "not asked for")
	hub.Worker(support.Tasks{Orchestrators: orchestrators{"listener": collects("word", len(words))}})
	hub.JSON("payloads", hub.Completed(id), words)
}

func TestWaitForAnEventTimesOut(t *testing.T) {
	hub := support.NewHub(t)
	hub.Worker(support.Tasks{Orchestrators: orchestrators{
		"impatient": func(ctx *task.OrchestrationContext) (any, error) {
			err := ctx.WaitForSingleEvent("word", 100*time.Millisecond).Await(nil)
			return errors.Is(err, task.ErrTaskCanceled), nil
		},
	}})
	hub.JSON("the wait was cancelled", hub.Run("impatient"), true)
}

func TestEventBeatsALongTimeout(t *testing.T) {
	hub := support.NewHub(t)
	hub.Worker(support.Tasks{Orchestrators: orchestrators{
		"patient": func(ctx *task.OrchestrationContext) (any, error) {
			var payload string
			err := ctx.WaitForSingleEvent("word", time.Hour).Await(&payload)
			return payload, err
		},
	}})
	id := hub.Start("patient")
	hub.Reaches(id, api.RUNTIME_STATUS_RUNNING)
	hub.Raise(id, "word", "in time")
	hub.JSON("output", hub.Completed(id), "in time")
}

func TestEventForNobodyIsRefused(t *testing.T) {
	hub := support.NewHub(t)
	hub.Refused("an event for a missing instance", hub.Client.RaiseEvent(hub.Within(), "nobody", "word"), codes.NotFound)
}
