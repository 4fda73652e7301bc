package scenarios

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/microsoft/durabletask-go/api"
	"github.com/microsoft/durabletask-go/task"

	"longhaul.dev/tests/sdk/go/support"
)

type orchestrators = map[string]task.Orchestrator
type activities = map[string]task.Activity

var errBoom = errors.New("boom")

// double is an activity: twice its input.
func double(ctx task.ActivityContext) (any, error) {
	var number int
	err := ctx.GetInput(&number)
	return 2 * number, err
}

// failing is an activity that counts its attempts and fails the first so many of them.
func failing(attempts *atomic.Int32, failures int32) task.Activity {
	return func(task.ActivityContext) (any, error) {
		if attempt := attempts.Add(1); attempt <= failures {
			return nil, fmt.Errorf("attempt %d: %w", attempt, errBoom)
		}
		return "done", nil
	}
}

func TestActivitiesRunInSequence(t *testing.T) {
	hub := support.NewHub(t)
	hub.Worker(support.Tasks{
		Orchestrators: orchestrators{"powers": func(ctx *task.OrchestrationContext) (any, error) {
			var number int
			if err := ctx.GetInput(&number); err != nil {
				return nil, err
			}
			for range 5 {
				if err := ctx.CallActivity("double", task.WithActivityInput(number)).Await(&number); err != nil {
					return nil, err
				}
			}
			return number, nil
		}},
		Activities: activities{"double": double},
	})
	hub.JSON("five doublings of 3", hub.Run("powers", api.WithInput(3)), 96)
}

func TestFanOutGivesEveryCallItsOwnResult(t *testing.T) {
	const calls = 40
	hub := support.NewHub(t)
	hub.Worker(support.Tasks{
		Orchestrators: orchestrators{"fan": func(ctx *task.OrchestrationContext) (any, error) {
			var pending [calls]task.Task
			for i := range pending {
				pending[i] = ctx.CallActivity("double", task.WithActivityInput(i))
			}
			var results [calls]int
			for i, call := range pending {
				if err := call.Await(&results[i]); err != nil {
					return nil, err
				}
			}
			return results, nil
		}},
		Activities: activities{"double": double},
	})
	var expected [calls]int
	for i := range expected {
		expected[i] = 2 * i
	}
	hub.JSON("results by call", hub.Run("fan"), expected)
}

func TestActivityIsRetriedUntilItSucceeds(t *testing.T) {
	hub := support.NewHub(t)
	var attempts atomic.Int32
	hub.Worker(support.Tasks{
		Orchestrators: orchestrators{"patient": func(ctx *task.OrchestrationContext) (any, error) {
			var result string
			err := ctx.CallActivity("flaky", task.WithActivityRetryPolicy(&task.RetryPolicy{
				MaxAttempts: 4, InitialRetryInterval: 20 * time.Millisecond, BackoffCoefficient: 2,
			})).Await(&result)
			return result, err
		}},
		Activities: activities{"flaky": failing(&attempts, 2)},
	})
	hub.JSON("output", hub.Run("patient"), "done")
	hub.Equal("attempts", attempts.Load(), int32(3))
}

func TestActivityFailsOnceItsRetriesAreUsedUp(t *testing.T) {
	hub := support.NewHub(t)
	var attempts atomic.Int32
	hub.Worker(support.Tasks{
		Orchestrators: orchestrators{"patient": func(ctx *task.OrchestrationContext) (any, error) {
			return nil, ctx.CallActivity("flaky", task.WithActivityRetryPolicy(&task.RetryPolicy{
				MaxAttempts: 3, InitialRetryInterval: 10 * time.Millisecond,
			})).Await(nil)
		}},
		Activities: activities{"flaky": failing(&attempts, 100)},
	})
	state := hub.Ended(hub.Start("patient"))
	hub.Equal("status", state.RuntimeStatus, api.RUNTIME_STATUS_FAILED)
	hub.Equal("attempts", attempts.Load(), int32(3))
}

// The SDK reads no failure details into its own type, so they are read from the answer it got.
func TestFailureDetailsReachTheClient(t *testing.T) {
	hub := support.NewHub(t)
	hub.Worker(support.Tasks{
		Orchestrators: orchestrators{"doomed": func(ctx *task.OrchestrationContext) (any, error) {
			var name string
			if err := ctx.GetInput(&name); err != nil {
				return nil, err
			}
			return nil, ctx.CallActivity(name).Await(nil)
		}},
		Activities: activities{
			"fails":  func(task.ActivityContext) (any, error) { return nil, errBoom },
			"panics": func(task.ActivityContext) (any, error) { panic("bang") },
		},
	})
	for name, message := range map[string]string{"fails": "boom", "panics": "panic: bang"} {
		state := hub.Ended(hub.Start("doomed", api.WithInput(name)))
		hub.Equal("status of "+name, state.RuntimeStatus, api.RUNTIME_STATUS_FAILED)
		calls := hub.Calls.Of("WaitForInstanceCompletion")
		details := support.Field(calls[len(calls)-1].Answer, "orchestrationState", "failureDetails", "errorMessage")
		hub.Equal("failure of "+name, details, "task failed with an error: "+message)
	}
}
