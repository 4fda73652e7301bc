package support

import (
	"context"
	"path"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Call is one unary call the SDK made, as it was on the wire.
type Call struct {
	RPC     string
	Request proto.Message
	Answer  proto.Message
	Err     error
	Headers metadata.MD
}

// Calls records what the SDK sends and gets on one connection: the SDK's own types for it are not public.
type Calls struct {
	mutex sync.Mutex
	made  []Call
}

func (c *Calls) intercept(ctx context.Context, method string, request, answer any, connection *grpc.ClientConn,
	invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	err := invoke(ctx, method, request, answer, connection, options...)
	headers, _ := metadata.FromOutgoingContext(ctx)
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.made = append(c.made, Call{RPC: path.Base(method), Request: proto.Clone(request.(proto.Message)),
		Answer: proto.Clone(answer.(proto.Message)), Err: err, Headers: headers})
	return err
}

// Of returns the calls of one RPC so far, in order.
func (c *Calls) Of(rpc string) []Call {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	var found []Call
	for _, call := range c.made {
		if call.RPC == rpc {
			found = append(found, call)
		}
	}
	return found
}

// Field reads a field of a message by the names on the way to it; nil if the message has no such field or it is unset.
func Field(message proto.Message, names ...protoreflect.Name) any {
	current := message.ProtoReflect()
	for i, name := range names {
		field := current.Descriptor().Fields().ByName(name)
		if field == nil || !current.Has(field) {
			return nil
		}
		if i == len(names)-1 {
			return current.Get(field).Interface()
		}
		current = current.Get(field).Message()
	}
	return nil
}
