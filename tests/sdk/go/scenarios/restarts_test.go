package scenarios

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/microsoft/durabletask-go/api"
	"github.com/microsoft/durabletask-go/task"

	"longhaul.dev/tests/sdk/go/support"
)

// journey is an orchestrator of an activity, a timer, a child and an event.
func journey(ctx *task.OrchestrationContext) (any, error) {
	legs := make([]int, 3)
	if err := ctx.CallActivity("double", task.WithActivityInput(1)).Await(&legs[0]); err != nil {
		return nil, err
	}
	if err := ctx.CreateTimer(time.Second).Await(nil); err != nil {
		return nil, err
	}
	if err := ctx.CallSubOrchestrator("link", task.WithSubOrchestratorInput(2)).Await(&legs[1]); err != nil {
		return nil, err
	}
	err := ctx.WaitForSingleEvent("leg", -1).Await(&legs[2])
	return legs, err
}

func TestEverythingGoesOnAfterAKill(t *testing.T) {
	hub := support.NewHub(t)
	hub.Worker(support.Tasks{
		Orchestrators: orchestrators{"journey": journey, "link": link}, Activities: activities{"double": double}})
	var ids [10]api.InstanceID
	for i := range ids {
		ids[i] = hub.Start("journey")
	}
	for _, id := range ids {
		hub.Reaches(id, api.RUNTIME_STATUS_RUNNING)
		hub.Raise(id, "leg", 4)
	}
	waiting := hub.Start("nobody-runs-this", api.WithStartTime(time.Now().Add(time.Hour)), api.WithInput("kept"))
	ctx := hub.Within()
	answered := make(chan string, 1)
	go awaitOutput(ctx, hub, ids[0], answered)

	hub.Server.Kill(t)
	hub.Server.Start(t)
	// The worker and the waiting client come back by themselves.
	hub.JSON("what the waiting client was told", support.Received(hub, "the answer", answered), []int{2, 3, 4})
	for _, id := range ids {
		hub.JSON("output of "+string(id), hub.Completed(id), []int{2, 3, 4})
	}
	hub.JSON("input of the one not started", hub.State(waiting).SerializedInput, "kept")
}

func awaitOutput(ctx context.Context, hub *support.Hub, id api.InstanceID, answered chan<- string) {
	if state, err := hub.Client.WaitForOrchestrationCompletion(ctx, id); err == nil {
		answered <- state.SerializedOutput
	}
}

func TestActivityUnderWayIsHandedOutAgainAfterAKill(t *testing.T) {
	hub := support.NewHub(t)
	began := make(chan int32, 4)
	release := make(chan struct{})
	var attempts atomic.Int32
	hub.Worker(support.Tasks{
		Orchestrators: orchestrators{"caller": func(ctx *task.OrchestrationContext) (any, error) {
			var attempt int
			err := ctx.CallActivity("work").Await(&attempt)
			return attempt, err
		}},
		Activities: activities{"work": func(ctx task.ActivityContext) (any, error) {
			attempt := attempts.Add(1)
			began <- attempt
			if attempt == 1 {
				select {
				case <-release:
				case <-ctx.Context().Done():
				}
			}
			return attempt, nil
		}},
	})
	id := hub.Start("caller")
	hub.Equal("attempt before the kill", support.Received(hub, "the activity", began), int32(1))
	hub.Server.Kill(t)
	hub.Server.Start(t)
	hub.Equal("attempt after the kill", support.Received(hub, "the activity again", began), int32(2))
	hub.JSON("output", hub.Completed(id), 2)
	close(release)
}

func TestAcknowledgedStartsSurviveAKill(t *testing.T) {
	hub := support.NewHub(t)
	var ids [30]api.InstanceID
	for i := range ids {
		ids[i] = hub.Start("link", api.WithInput(i))
	}
	hub.Server.Kill(t)
	hub.Server.Start(t)
	hub.Worker(support.Tasks{Orchestrators: orchestrators{"link": link}})
	for i, id := range ids {
		hub.JSON("output of "+string(id), hub.Completed(id), i+1)
	}
}
