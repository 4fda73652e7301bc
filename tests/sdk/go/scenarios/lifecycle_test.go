package scenarios

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/microsoft/durabletask-go/api"
	"github.com/microsoft/durabletask-go/task"

	"longhaul.dev/tests/sdk/go/support"
)

// family is a parent with a child with a grandchild that waits for an event; their ids are their names.
func family() orchestrators {
	calls := func(child string) task.Orchestrator {
		return func(ctx *task.OrchestrationContext) (any, error) {
			var word string
			err := ctx.CallSubOrchestrator(child, task.WithSubOrchestrationInstanceID(child)).Await(&word)
			return word, err
		}
	}
	return orchestrators{"parent": calls("child"), "child": calls("grandchild"),
		"grandchild": func(ctx *task.OrchestrationContext) (any, error) {
			var word string
			err := ctx.WaitForSingleEvent("word", -1).Await(&word)
			return word, err
		}}
}

func TestSuspendedOrchestrationWaitsForItsResumption(t *testing.T) {
	hub := support.NewHub(t)
	worker := hub.Worker(support.Tasks{Orchestrators: orchestrators{"listener": collects("word", 2)}})
	id := hub.Start("listener")
	hub.Reaches(id, api.RUNTIME_STATUS_RUNNING)
	hub.Suspend(id)
	hub.Eventually("the turn that suspends", func() bool { return len(worker.Calls.Of("CompleteOrchestratorTask")) == 2 })
	hub.Raise(id, "word", "one")
	hub.Raise(id, "word", "two")

	// Another instance goes all its way meanwhile, so there was time for this one to go on wrongly.
	other := hub.Start("listener")
	hub.Raise(other, "word", "a")
	hub.Raise(other, "word", "b")
	hub.Completed(other)
	hub.Equal("status while suspended", hub.State(id).RuntimeStatus, api.RUNTIME_STATUS_SUSPENDED)

	hub.Resume(id)
	hub.JSON("events raised while suspended", hub.Completed(id), []string{"one", "two"})
}

func TestSuspendAndResumeOfOthersChangeNothing(t *testing.T) {
	hub := support.NewHub(t)
	hub.Worker(support.Tasks{Orchestrators: orchestrators{"listener": collects("word", 0)}})
	id := hub.Start("listener")
	hub.Completed(id)
	hub.Must(hub.Client.SuspendOrchestration(hub.Within(), id, "too late"))
	hub.Must(hub.Client.ResumeOrchestration(hub.Within(), id, "too late"))
	hub.Equal("status", hub.State(id).RuntimeStatus, api.RUNTIME_STATUS_COMPLETED)
	hub.Refused("suspending nobody", hub.Client.SuspendOrchestration(hub.Within(), "nobody", ""), codes.NotFound)
	hub.Refused("resuming nobody", hub.Client.ResumeOrchestration(hub.Within(), "nobody", ""), codes.NotFound)
	hub.Refused("terminating nobody", hub.Client.TerminateOrchestration(hub.Within(), "nobody"), codes.NotFound)
}

// The SDK asks for a recursive termination unless told otherwise.
func TestTerminationIncludesDescendants(t *testing.T) {
	hub := support.NewHub(t)
	hub.Worker(support.Tasks{Orchestrators: family()})
	hub.Start("parent", api.WithInstanceID("parent"))
	hub.Reaches("grandchild", api.RUNTIME_STATUS_RUNNING)
	hub.Terminate("parent", api.WithOutput("enough"))
	for _, id := range []api.InstanceID{"parent", "child", "grandchild"} {
		state := hub.Ended(id)
		hub.Equal("status of "+string(id), state.RuntimeStatus, api.RUNTIME_STATUS_TERMINATED)
		hub.JSON("output of "+string(id), state.SerializedOutput, "enough")
	}
}

func TestTerminationOfOneLeavesItsDescendants(t *testing.T) {
	hub := support.NewHub(t)
	hub.Worker(support.Tasks{Orchestrators: family()})
	hub.Start("parent", api.WithInstanceID("parent"))
	hub.Reaches("grandchild", api.RUNTIME_STATUS_RUNNING)
	hub.Terminate("parent", api.WithRecursiveTerminate(false))
	hub.Equal("status of the parent", hub.Ended("parent").RuntimeStatus, api.RUNTIME_STATUS_TERMINATED)
	hub.Equal("status of the child", hub.State("child").RuntimeStatus, api.RUNTIME_STATUS_RUNNING)
	hub.Raise("grandchild", "word", "still here")
	hub.JSON("output of the child", hub.Completed("child"), "still here")
	hub.Equal("status of the parent", hub.State("parent").RuntimeStatus, api.RUNTIME_STATUS_TERMINATED)
}

func TestTerminationNeedsNoWorkerBeforeTheFirstTurn(t *testing.T) {
	hub := support.NewHub(t)
	id := hub.Start("nobody-runs-this")
	hub.Terminate(id, api.WithOutput("never ran"))
	state := hub.Ended(id)
	hub.Equal("status", state.RuntimeStatus, api.RUNTIME_STATUS_TERMINATED)
	hub.JSON("output", state.SerializedOutput, "never ran")
}

// This SDK's worker keeps back every action while it is suspended, the end too, so the termination waits for the resumption.
func TestTerminationOfASuspendedOrchestrationIsNotLost(t *testing.T) {
	hub := support.NewHub(t)
	worker := hub.Worker(support.Tasks{Orchestrators: orchestrators{"listener": collects("word", 1)}})
	id := hub.Start("listener")
	hub.Reaches(id, api.RUNTIME_STATUS_RUNNING)
	hub.Suspend(id)
	hub.Eventually("the turn that suspends", func() bool { return len(worker.Calls.Of("CompleteOrchestratorTask")) == 2 })
	hub.Terminate(id, api.WithOutput("stopped"))
	hub.Eventually("the turn that terminates", func() bool { return len(worker.Calls.Of("CompleteOrchestratorTask")) == 3 })
	hub.Resume(id)
	state := hub.Ended(id)
	hub.Equal("status", state.RuntimeStatus, api.RUNTIME_STATUS_TERMINATED)
	hub.JSON("output", state.SerializedOutput, "stopped")
}

func TestCustomStatusIsShownChangedAndCleared(t *testing.T) {
	hub := support.NewHub(t)
	hub.Worker(support.Tasks{Orchestrators: orchestrators{
		"reporter": func(ctx *task.OrchestrationContext) (any, error) {
			ctx.SetCustomStatus(`"ready"`)
			for {
				var status string
				if err := ctx.WaitForSingleEvent("status", -1).Await(&status); err != nil {
					return nil, err
				}
				ctx.SetCustomStatus(status)
				if status == "" {
					return nil, nil
				}
			}
		},
	}})
	id := hub.Start("reporter")
	state, err := hub.Client.WaitForOrchestrationStart(hub.Within(), id)
	hub.Must(err)
	hub.Equal("status at the start", state.SerializedCustomStatus, `"ready"`)
	hub.Raise(id, "status", `{"done":1}`)
	hub.Eventually("the changed status", func() bool { return hub.State(id).SerializedCustomStatus == `{"done":1}` })
	hub.Raise(id, "status", "")
	hub.Completed(id)
	hub.Equal("status at the end", hub.State(id).SerializedCustomStatus, "")
}

func TestStartIsTheFirstFinishedTurn(t *testing.T) {
	hub := support.NewHub(t)
	began, finish := make(chan struct{}), make(chan struct{})
	hub.Worker(support.Tasks{Orchestrators: orchestrators{
		"slow": func(ctx *task.OrchestrationContext) (any, error) {
			if !ctx.IsReplaying {
				began <- struct{}{}
				<-finish
			}
			return nil, ctx.WaitForSingleEvent("word", -1).Await(nil)
		},
	}})
	id := hub.Start("slow")
	support.Received(hub, "the first turn", began)
	soon, cancel := context.WithTimeout(hub.Within(), 200*time.Millisecond)
	defer cancel()
	if _, err := hub.Client.WaitForOrchestrationStart(soon, id); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the start of an unfinished first turn was answered: %v", err)
	}
	hub.Equal("status during the first turn", hub.State(id).RuntimeStatus, api.RUNTIME_STATUS_PENDING)
	close(finish)
	state, err := hub.Client.WaitForOrchestrationStart(hub.Within(), id)
	hub.Must(err)
	hub.Equal("status after it", state.RuntimeStatus, api.RUNTIME_STATUS_RUNNING)
}

func TestWaitsBeginBeforeTheInstanceDoes(t *testing.T) {
	hub := support.NewHub(t)
	hub.Worker(support.Tasks{Orchestrators: orchestrators{"listener": collects("word", 0)}})
	ended := make(chan api.OrchestrationStatus, 1)
	go func() {
		state, err := hub.Client.WaitForOrchestrationCompletion(hub.Within(), "awaited")
		if err == nil {
			ended <- state.RuntimeStatus
		}
	}()
	hub.Start("listener", api.WithInstanceID("awaited"))
	hub.Equal("status", support.Received(hub, "the answer", ended), api.RUNTIME_STATUS_COMPLETED)
}

func TestStateShowsPayloadsOnlyWhenAsked(t *testing.T) {
	hub := support.NewHub(t)
	hub.Worker(support.Tasks{Orchestrators: orchestrators{"echo": func(ctx *task.OrchestrationContext) (any, error) {
		var text string
		err := ctx.GetInput(&text)
		return text, err
	}}})
	id := hub.Start("echo", api.WithInput("text"))
	hub.JSON("output", hub.Completed(id), "text")
	hub.JSON("input", hub.State(id).SerializedInput, "text")
	bare, err := hub.Client.FetchOrchestrationMetadata(hub.Within(), id, api.WithFetchPayloads(false))
	hub.Must(err)
	hub.Equal("payloads not asked for", bare.SerializedInput+bare.SerializedOutput, "")
	hub.Equal("name", bare.Name, "echo")
	if bare.LastUpdatedAt.Before(bare.CreatedAt) || bare.CreatedAt.IsZero() {
		t.Fatalf("created %s, updated %s", bare.CreatedAt, bare.LastUpdatedAt)
	}
}
