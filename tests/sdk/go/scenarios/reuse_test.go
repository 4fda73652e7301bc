package scenarios

import (
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/microsoft/durabletask-go/api"
	"github.com/microsoft/durabletask-go/task"

	"longhaul.dev/tests/sdk/go/support"
)

const reused = api.InstanceID("reused")

// echoes is an orchestrator that answers its input, "hold" not before an event.
func echoes(ctx *task.OrchestrationContext) (any, error) {
	var text string
	if err := ctx.GetInput(&text); err != nil {
		return nil, err
	}
	if text == "hold" {
		return text, ctx.WaitForSingleEvent("word", -1).Await(nil)
	}
	return text, nil
}

// again starts the reused id once more under the SDK's form of a policy.
func again(hub *support.Hub, action api.CreateOrchestrationAction, statuses ...api.OrchestrationStatus) error {
	_, err := hub.Client.ScheduleNewOrchestration(hub.Within(), "echo", api.WithInstanceID(reused),
		api.WithInput("new"), api.WithOrchestrationIdReusePolicy(&api.OrchestrationIdReusePolicy{
			Action: action, OperationStatus: statuses,
		}))
	return err
}

// held is a hub on which the reused id is running.
func held(t *testing.T) *support.Hub {
	hub := support.NewHub(t)
	hub.Worker(support.Tasks{Orchestrators: orchestrators{"echo": echoes}})
	hub.Start("echo", api.WithInstanceID(reused), api.WithInput("hold"))
	hub.Reaches(reused, api.RUNTIME_STATUS_RUNNING)
	return hub
}

// over is a hub on which the reused id has completed.
func over(t *testing.T) *support.Hub {
	hub := support.NewHub(t)
	hub.Worker(support.Tasks{Orchestrators: orchestrators{"echo": echoes}})
	hub.JSON("first output", hub.Run("echo", api.WithInstanceID(reused), api.WithInput("old")), "old")
	return hub
}

func TestWithoutAPolicyARunningIDIsTaken(t *testing.T) {
	hub := held(t)
	_, err := hub.Client.ScheduleNewOrchestration(hub.Within(), "echo", api.WithInstanceID(reused))
	hub.Refused("a second start", err, codes.AlreadyExists)
	hub.Mentions(err, api.ErrDuplicateInstance.Error())
}

func TestWithoutAPolicyACompletedIDIsFree(t *testing.T) {
	hub := over(t)
	hub.JSON("second output", hub.Run("echo", api.WithInstanceID(reused), api.WithInput("new")), "new")
}

func TestErrorPolicyWithoutStatusesRefusesEveryID(t *testing.T) {
	for name, arrange := range map[string]func(*testing.T) *support.Hub{"running": held, "completed": over} {
		t.Run(name, func(t *testing.T) {
			hub := arrange(t)
			hub.Refused("a second start", again(hub, api.REUSE_ID_ACTION_ERROR), codes.AlreadyExists)
		})
	}
}

func TestPolicyThatDoesNotNameTheStatusRefuses(t *testing.T) {
	hub := over(t)
	hub.Refused("a second start",
		again(hub, api.REUSE_ID_ACTION_TERMINATE, api.RUNTIME_STATUS_FAILED), codes.AlreadyExists)
	hub.JSON("output", hub.State(reused).SerializedOutput, "old")
}

func TestTerminatePolicyReplacesAnInstance(t *testing.T) {
	for name, arrange := range map[string]func(*testing.T) *support.Hub{"running": held, "completed": over} {
		t.Run(name, func(t *testing.T) {
			hub := arrange(t)
			hub.Must(again(hub, api.REUSE_ID_ACTION_TERMINATE, api.RUNTIME_STATUS_RUNNING,
				api.RUNTIME_STATUS_COMPLETED, api.RUNTIME_STATUS_PENDING, api.RUNTIME_STATUS_TERMINATED))
			hub.JSON("output", hub.Completed(reused), "new")
		})
	}
}

// The action of this SDK's policy is a field that the contract has given up since; what counts is the list. A list
// without TERMINATED cannot end a running instance, and the instance goes on.
func TestPolicyWithoutTerminatedSparesARunningInstance(t *testing.T) {
	for name, action := range map[string]api.CreateOrchestrationAction{
		"terminate": api.REUSE_ID_ACTION_TERMINATE, "ignore": api.REUSE_ID_ACTION_IGNORE,
	} {
		t.Run(name, func(t *testing.T) {
			hub := held(t)
			err := again(hub, action, api.RUNTIME_STATUS_RUNNING,
				api.RUNTIME_STATUS_COMPLETED, api.RUNTIME_STATUS_PENDING)
			hub.Refused("a second start", err, codes.InvalidArgument)
			hub.Raise(reused, "word", "")
			hub.JSON("output", hub.Completed(reused), "hold")
		})
	}
}
