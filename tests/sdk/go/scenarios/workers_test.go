package scenarios

import (
	"sync/atomic"
	"testing"

	"github.com/microsoft/durabletask-go/api"
	"github.com/microsoft/durabletask-go/task"

	"longhaul.dev/tests/sdk/go/support"
)

// chain is an orchestrator of three activities, one after the other, and one child.
func chain(ctx *task.OrchestrationContext) (any, error) {
	var number int
	if err := ctx.GetInput(&number); err != nil {
		return nil, err
	}
	for range 3 {
		if err := ctx.CallActivity("double", task.WithActivityInput(number)).Await(&number); err != nil {
			return nil, err
		}
	}
	err := ctx.CallSubOrchestrator("link", task.WithSubOrchestratorInput(number)).Await(&number)
	return number, err
}

func link(ctx *task.OrchestrationContext) (any, error) {
	var number int
	if err := ctx.GetInput(&number); err != nil {
		return nil, err
	}
	return number + 1, nil
}

// The premise of the scenario is checked too: an SDK that sends tokens or a hub needs other scenarios.
func TestAnswersWithoutACompletionTokenCount(t *testing.T) {
	hub := support.NewHub(t)
	worker := hub.Worker(support.Tasks{
		Orchestrators: orchestrators{"chain": chain, "link": link}, Activities: activities{"double": double}})
	hub.JSON("output", hub.Run("chain", api.WithInput(5)), 41)
	for _, rpc := range []string{"CompleteOrchestratorTask", "CompleteActivityTask"} {
		answers := worker.Calls.Of(rpc)
		hub.Equal("some "+rpc, len(answers) > 0, true)
		for _, answer := range answers {
			hub.Equal("completion token", support.Field(answer.Request, "completionToken"), nil)
			hub.Must(answer.Err)
		}
	}
	for _, call := range hub.Calls.Of("StartInstance") {
		hub.Equal("number of headers", len(call.Headers), 0)
	}
}

func TestManyInstancesShareTwoWorkers(t *testing.T) {
	const instances = 150
	hub := support.NewHub(t)
	var workers [2]*support.Worker
	for i := range workers {
		workers[i] = hub.Worker(support.Tasks{
			Orchestrators: orchestrators{"chain": chain, "link": link}, Activities: activities{"double": double}})
	}
	var ids [instances]api.InstanceID
	for i := range ids {
		ids[i] = hub.Start("chain", api.WithInput(i))
	}
	for i, id := range ids {
		hub.JSON("output of "+string(id), hub.Completed(id), 8*i+1)
	}
	for _, worker := range workers {
		hub.Equal("the worker had a share", len(worker.Calls.Of("CompleteActivityTask")) > 0, true)
	}
}

func TestActivityOfAStoppedWorkerGoesToAnother(t *testing.T) {
	hub := support.NewHub(t)
	began := make(chan struct{}, 1)
	calling := func(ctx *task.OrchestrationContext) (any, error) {
		var result string
		err := ctx.CallActivity("work").Await(&result)
		return result, err
	}
	first := hub.Worker(support.Tasks{
		Orchestrators: orchestrators{"caller": calling},
		Activities: activities{"work": func(ctx task.ActivityContext) (any, error) {
			began <- struct{}{}
			<-ctx.Context().Done()
			return "lost", nil
		}},
	})
	id := hub.Start("caller")
	support.Received(hub, "the activity", began)
	first.Stop()
	hub.Worker(support.Tasks{
		Orchestrators: orchestrators{"caller": calling},
		Activities:    activities{"work": func(task.ActivityContext) (any, error) { return "taken over", nil }},
	})
	hub.JSON("output", hub.Completed(id), "taken over")
}

func TestTurnOfAStoppedWorkerGoesToAnother(t *testing.T) {
	hub := support.NewHub(t)
	began, release := make(chan struct{}, 1), make(chan struct{})
	t.Cleanup(func() { close(release) })
	first := hub.Worker(support.Tasks{Orchestrators: orchestrators{
		"stuck": func(*task.OrchestrationContext) (any, error) {
			began <- struct{}{}
			<-release
			return "lost", nil
		},
	}})
	id := hub.Start("stuck")
	support.Received(hub, "the turn", began)
	first.Stop()
	var turns atomic.Int32
	hub.Worker(support.Tasks{Orchestrators: orchestrators{
		"stuck": func(*task.OrchestrationContext) (any, error) {
			turns.Add(1)
			return "taken over", nil
		},
	}})
	hub.JSON("output", hub.Completed(id), "taken over")
	hub.Equal("turns of the second worker", turns.Load(), int32(1))
}

// Two instances hold an activity of the same number at the same time, and the later one is answered first.
func TestAnswersWithoutATokenFindTheirOwnInstance(t *testing.T) {
	hub := support.NewHub(t)
	began := make(chan string, 2)
	gates := map[string]chan struct{}{"one": make(chan struct{}), "two": make(chan struct{})}
	hub.Worker(support.Tasks{
		Orchestrators: orchestrators{"caller": func(ctx *task.OrchestrationContext) (any, error) {
			var name, result string
			if err := ctx.GetInput(&name); err != nil {
				return nil, err
			}
			err := ctx.CallActivity("gated", task.WithActivityInput(name)).Await(&result)
			return result, err
		}},
		Activities: activities{"gated": func(ctx task.ActivityContext) (any, error) {
			var name string
			if err := ctx.GetInput(&name); err != nil {
				return nil, err
			}
			began <- name
			select {
			case <-gates[name]:
			case <-ctx.Context().Done():
			}
			return "for " + name, nil
		}},
	})
	one, two := hub.Start("caller", api.WithInput("one")), hub.Start("caller", api.WithInput("two"))
	support.Received(hub, "an activity", began)
	support.Received(hub, "the other activity", began)
	close(gates["two"])
	hub.JSON("output of two", hub.Completed(two), "for two")
	hub.Equal("status of one", hub.State(one).RuntimeStatus, api.RUNTIME_STATUS_RUNNING)
	close(gates["one"])
	hub.JSON("output of one", hub.Completed(one), "for one")
}
