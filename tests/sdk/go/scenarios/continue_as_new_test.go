package scenarios

import (
	"testing"

	"github.com/microsoft/durabletask-go/api"
	"github.com/microsoft/durabletask-go/task"

	"longhaul.dev/tests/sdk/go/support"
)

// relay is an orchestrator that takes one event a generation, until it has as many as its limit.
func relay(limit int, options ...task.ContinueAsNewOption) task.Orchestrator {
	return func(ctx *task.OrchestrationContext) (any, error) {
		var heard []string
		if err := ctx.GetInput(&heard); err != nil {
			return nil, err
		}
		var word string
		if err := ctx.WaitForSingleEvent("word", -1).Await(&word); err != nil {
			return nil, err
		}
		if heard = append(heard, word); len(heard) == limit {
			return heard, nil
		}
		ctx.ContinueAsNew(heard, options...)
		return nil, nil
	}
}

func TestContinueAsNewStartsOverWithItsNewInput(t *testing.T) {
	const generations = 25
	hub := support.NewHub(t)
	hub.Worker(support.Tasks{
		Orchestrators: orchestrators{"count": func(ctx *task.OrchestrationContext) (any, error) {
			var number int
			if err := ctx.GetInput(&number); err != nil {
				return nil, err
			}
			if number == generations {
				return number, nil
			}
			if err := ctx.CallActivity("double", task.WithActivityInput(number)).Await(nil); err != nil {
				return nil, err
			}
			ctx.ContinueAsNew(number + 1)
			return nil, nil
		}},
		Activities: activities{"double": double},
	})
	id := hub.Start("count", api.WithInput(0))
	hub.JSON("generations", hub.Completed(id), generations)
	hub.JSON("input of the last generation", hub.State(id).SerializedInput, generations)
}

func TestContinueAsNewKeepsUnprocessedEvents(t *testing.T) {
	hub := support.NewHub(t)
	id := hub.Start("relay", api.WithInput([]string{}))
	words := []string{"one", "two", "three", "four"}
	for _, word := range words {
		hub.Raise(id, "word", word)
	}
	hub.Worker(support.Tasks{Orchestrators: orchestrators{
		"relay": relay(len(words), task.WithKeepUnprocessedEvents()),
	}})
	hub.JSON("events over the generations", hub.Completed(id), words)
}

func TestContinueAsNewDropsEventsItDoesNotKeep(t *testing.T) {
	hub := support.NewHub(t)
	id := hub.Start("relay", api.WithInput([]string{}))
	for _, word := range []string{"one", "lost", "lost too"} {
		hub.Raise(id, "word", word)
	}
	hub.Worker(support.Tasks{Orchestrators: orchestrators{"relay": relay(2)}})
	hub.Eventually("the second generation", func() bool { return hub.State(id).SerializedInput == `["one"]` })
	hub.Raise(id, "word", "two")
	hub.JSON("events over the generations", hub.Completed(id), []string{"one", "two"})
}

func TestEventsRaisedWhileAnInstanceContinuesAsNewAllArrive(t *testing.T) {
	const events = 60
	hub := support.NewHub(t)
	hub.Worker(support.Tasks{Orchestrators: orchestrators{
		"relay": relay(events, task.WithKeepUnprocessedEvents()),
	}})
	id := hub.Start("relay", api.WithInput([]string{}))
	words := make([]string, events)
	for i := range words {
		words[i] = string(rune('A' + i))
		hub.Raise(id, "word", words[i])
	}
	hub.JSON("events over the generations", hub.Completed(id), words)
}
